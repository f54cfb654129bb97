package objstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"graft/objstore"
	"graft/objstore/objstoretest"
)

func TestMain(m *testing.M) {
	if bucketURL := os.Getenv("GRAFT_TEST_WRITER"); bucketURL != "" {
		if err := serveWriter(bucketURL); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, bucketURL string) *objstore.Bucket {
	t.Helper()
	b, err := objstore.Open(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func fileURL(dir string) string {
	path := filepath.ToSlash(dir)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func TestMemConformance(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, "mem://conformance") })
}

func TestMemPrefixConformance(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, "mem://conformance?prefix=some/where/") })
}

func TestFileConformance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, fileURL(dir)) })
	if left, err := os.ReadDir(filepath.Join(dir, ".tmp")); err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
}

func TestFilePrefixConformance(t *testing.T) {
	dir := t.TempDir()
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, fileURL(dir)+"?prefix=segments/") })
}

// TestFileRaceOfProcesses has other processes put to one directory, each through a handle of its own.
func TestFileRaceOfProcesses(t *testing.T) {
	bucketURL := fileURL(filepath.Join(t.TempDir(), "bucket"))
	var puts []objstoretest.PutFunc
	for range 6 {
		puts = append(puts, startWriter(t, bucketURL))
	}
	for _, finding := range objstoretest.Race(t.Context(), open(t, bucketURL), "", 200, puts) {
		t.Error(finding)
	}
}

// startWriter starts a process that puts to the bucket what the result is called with.
func startWriter(t *testing.T, bucketURL string) objstoretest.PutFunc {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GRAFT_TEST_WRITER="+bucketURL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	return func(_ context.Context, key string, data []byte) error {
		if _, err := fmt.Fprintf(in, "%s\t%s\n", key, data); err != nil {
			return err
		}
		switch answer, err := answers.ReadString('\n'); {
		case err != nil:
			return err
		case answer == "won\n":
			return nil
		case answer == "exists\n":
			return objstore.ErrExist
		default:
			return errors.New(answer)
		}
	}
}

// serveWriter puts what it reads from standard input, and answers each line with the outcome.
func serveWriter(bucketURL string) error {
	b, err := objstore.Open(context.Background(), bucketURL)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return b.Close()
		}
		if err != nil {
			return err
		}
		key, data, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch err := b.PutIfAbsent(context.Background(), key, []byte(data)); {
		case err == nil:
			fmt.Println("won")
		case errors.Is(err, objstore.ErrExist):
			fmt.Println("exists")
		default:
			fmt.Printf("%q\n", err)
		}
	}
}
