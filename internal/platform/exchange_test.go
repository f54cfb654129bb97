package platform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"graft"
	"graft/driver"
)

// What a process of another platform is told to do.
const (
	roleEnv   = "GRAFT_PLATFORM_ROLE"   // write, open or clone
	dirEnv    = "GRAFT_PLATFORM_DIR"    // data directory
	bucketEnv = "GRAFT_PLATFORM_BUCKET" // folder
	volumeEnv = "GRAFT_PLATFORM_VOLUME" // to clone
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(context.Background(), os.Stdout, role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// play does what the environment says, and prints the remote Volume and the checksums of what it sees.
func play(ctx context.Context, out io.Writer, role string) (err error) {
	bucket := filepath.ToSlash(os.Getenv(bucketEnv))
	if !strings.HasPrefix(bucket, "/") {
		bucket = "/" + bucket
	}
	store, err := graft.Open(ctx, os.Getenv(dirEnv), &graft.Options{Remote: (&url.URL{Scheme: "file", Path: bucket}).String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	g, err := store.Graft(ctx, "main")
	if err != nil {
		return err
	}
	connector, err := driver.NewConnector(store, "main", nil)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	switch role {
	case "write":
		return write(ctx, out, g, db)
	case "clone":
		v, err := graft.ParseVolumeID(os.Getenv(volumeEnv))
		if err != nil {
			return err
		}
		if err := g.Clone(ctx, v); err != nil {
			return err
		}
	}
	return printSums(ctx, out, db, "")
}

// write makes a database, pushes it, and changes it once more. It prints the checksums of both states.
func write(ctx context.Context, out io.Writer, g *graft.Graft, db *sql.DB) error {
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) "
	for _, statement := range []string{
		"CREATE TABLE t(id INTEGER PRIMARY KEY, whole INTEGER, real REAL, text TEXT, blob BLOB)",
		"CREATE INDEX t_text ON t(text)",
		numbers + "INSERT INTO t SELECT i, i * 1000003 * (1 - i % 2 * 2), i / 7.0, 'row ' || i, CAST(printf('%032d', i * i) AS BLOB) FROM n",
		"UPDATE t SET text = 'even ' || id WHERE id % 2 = 0",
		"DELETE FROM t WHERE id % 10 = 3",
		"PRAGMA graft_push",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	info, err := g.Info()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "volume", info.Remote)
	if err := printSums(ctx, out, db, "pushed "); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "UPDATE t SET whole = whole + 1 WHERE id > 2000"); err != nil {
		return err
	}
	return printSums(ctx, out, db, "")
}

// printSums prints the checksum of all rows, and what integrity_check says.
func printSums(ctx context.Context, out io.Writer, db *sql.DB, prefix string) error {
	rows, err := db.QueryContext(ctx, "SELECT id, whole, real, text, blob FROM t ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	sum := sha256.New()
	for rows.Next() {
		var id, whole int64
		var real float64
		var text string
		var blob []byte
		if err := rows.Scan(&id, &whole, &real, &text, &blob); err != nil {
			return err
		}
		sumRow(sum, id, whole, real, text, blob)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var check string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&check); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%ssum %x %s\n", prefix, sum.Sum(nil), check)
	return err
}

func sumRow(sum hash.Hash, id, whole int64, real float64, text string, blob []byte) {
	b := binary.BigEndian.AppendUint64(nil, uint64(id))
	b = binary.BigEndian.AppendUint64(b, uint64(whole))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(real))
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = append(b, blob...)
	sum.Write(b)
}

// player runs this test's program as it was built for a target.
type player struct {
	target  target
	program string
	runner  []string // emulator, if need be
}

// newPlayer builds the program, or says why it cannot run.
func newPlayer(t *testing.T, target target) (_ player, absent string) {
	p := player{target: target, program: filepath.Join(t.TempDir(), "player-"+target.arch)}
	if emulator := emulators[target.arch]; emulator != "" && target.arch != runtime.GOARCH {
		path, err := exec.LookPath(emulator)
		if err != nil {
			return p, emulator + " is not installed (Debian's qemu-user-static has it)"
		}
		p.runner = []string{path}
	}
	args := append([]string{"test", "-c", "-o", p.program}, thisEngine.flags...)
	cmd := exec.Command("go", append(args, "./internal/platform")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), target.env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v: %s", target, err, out)
	}
	if p.runner == nil && errors.Is(exec.Command(p.program, "-test.list=^$").Run(), syscall.ENOEXEC) {
		return p, "this kernel does not run its programs"
	}
	return p, ""
}

// emulators are the programs of qemu-user for processors of Linux. amd64 runs 386 by itself.
var emulators = map[string]string{
	"arm":     "qemu-arm-static",
	"arm64":   "qemu-aarch64-static",
	"s390x":   "qemu-s390x-static",
	"riscv64": "qemu-riscv64-static",
	"ppc64le": "qemu-ppc64le-static",
	"loong64": "qemu-loongarch64-static",
}

// play has the program play a role, and gives what it printed, by first word or words.
func (p player) play(ctx context.Context, role, dir, bucket, volume string) (map[string]string, error) {
	args := append(p.runner[:len(p.runner):len(p.runner)], p.program)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, dirEnv+"="+dir, bucketEnv+"="+bucket, volumeEnv+"="+volume)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s cannot %s: %w: %s", p.target, role, err, complaint.String())
	}
	said := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		for _, key := range []string{"volume ", "pushed sum ", "sum "} {
			if value, ok := strings.CutPrefix(line, key); ok {
				said[strings.TrimSpace(key)] = strings.TrimSpace(value)
				break
			}
		}
	}
	return said, nil
}

// TestExchange has each platform write a data directory and push it to a folder, and each other one open the directory
// and clone from the folder: all see the same rows, but for directories of the other byte order, which they refuse.
// GRAFT_PLATFORMS names the platforms.
func TestExchange(t *testing.T) {
	words := os.Getenv("GRAFT_PLATFORMS")
	if words == "" {
		t.Skip("make platforms runs it")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("it runs others' programs from linux/amd64 alone")
	}
	players, absences := []player{}, []string{}
	for _, target := range parseTargets(words) {
		p, absent := newPlayer(t, target)
		if absent != "" {
			absences = append(absences, fmt.Sprintf("%s is left out: %s", target, absent))
			continue
		}
		players = append(players, p)
	}
	for _, absence := range absences {
		t.Log(absence)
	}
	if len(players) < 2 {
		t.Skipf("of %s none can run here beside this one: %s", words, strings.Join(absences, "; "))
	}
	for _, writer := range players {
		t.Run("from="+writer.target.arch, func(t *testing.T) {
			dir, bucket := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "bucket")
			wrote, err := writer.play(t.Context(), "write", dir, bucket, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, reader := range players {
				t.Run("to="+reader.target.arch, func(t *testing.T) {
					exchange(t, writer, reader, dir, bucket, wrote)
				})
			}
		})
	}
}

// exchange has reader read what writer wrote.
func exchange(t *testing.T, writer, reader player, dir, bucket string, wrote map[string]string) {
	if !strings.HasSuffix(wrote["sum"], " ok") || wrote["sum"] == wrote["pushed sum"] {
		t.Fatalf("it wrote %q", wrote)
	}
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	read, err := reader.play(t.Context(), "open", copied, bucket, "")
	switch same := bigEndian[writer.target.arch] == bigEndian[reader.target.arch]; {
	case same && err != nil:
		t.Error(err)
	case same && read["sum"] != wrote["sum"]:
		t.Errorf("the directory has %s, want %s", read["sum"], wrote["sum"])
	case !same && (err == nil || !strings.Contains(err.Error(), "other byte order")):
		t.Errorf("a directory of the other byte order: %v, %v", read, err)
	}
	read, err = reader.play(t.Context(), "clone", filepath.Join(t.TempDir(), "clone"), bucket, wrote["volume"])
	if err != nil {
		t.Error(err)
	} else if read["sum"] != wrote["pushed sum"] {
		t.Errorf("the bucket has %s, want %s", read["sum"], wrote["pushed sum"])
	}
}

// bigEndian are the processors that have the most significant byte first.
var bigEndian = map[string]bool{"s390x": true}
