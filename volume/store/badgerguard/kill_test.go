package badgerguard

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// failed is the exit code of a process that was not killed in time.
const failed = 3

// writeUntilKilled writes rounds of pages and removes those of the round before,
// beside another writer and the upkeep, so that requests share syncs. It says
// which rounds are durable.
func writeUntilKilled(dir string) {
	db, err := badger.Open(badgerOptions(dir))
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(failed)
	}
	var writes sync.RWMutex // write-held by what fails writes
	go func() {
		for {
			writes.Lock()
			_ = db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("~"), nil) })
			err := db.DropPrefix([]byte("~"))
			writes.Unlock()
			if err != nil || db.Flatten(2) != nil || CheckGC(dir, 0.3) != nil {
				os.Exit(failed)
			}
			for db.RunValueLogGC(0.3) == nil {
			}
		}
	}()
	write := func(fill func(*badger.WriteBatch) error) {
		writes.RLock()
		defer writes.RUnlock()
		wb := db.NewWriteBatch()
		if fill(wb) != nil || wb.Flush() != nil {
			os.Exit(failed)
		}
	}
	go func() {
		for i := 0; ; i++ {
			write(func(wb *badger.WriteBatch) error { return wb.Set([]byte("other"), pageOf(i)) })
		}
	}()
	for round := int(time.Now().UnixMilli()) % 1_000_000 * 1000; ; round++ {
		write(func(wb *badger.WriteBatch) error {
			for i := range 400 {
				if err := wb.Set(fmt.Appendf(nil, "k%d-%d", round, i), pageOf(i)); err != nil {
					return err
				}
				if err := wb.Delete(fmt.Appendf(nil, "k%d-%d", round-1, i)); err != nil {
					return err
				}
			}
			return nil
		})
		fmt.Println(round)
	}
}

// TestKillsLeaveNoDamage kills a process that writes, again and again.
func TestKillsLeaveNoDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "badger")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for kill := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writeEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		last := -1
		timer := time.AfterFunc(time.Duration(50+r.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Errorf("kill %d: %s", kill, lines.Text())
			}
			last = n
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() == failed {
			t.Errorf("kill %d: the process ended by itself: %v", kill, err)
		}
		must(t, Tidy(dir))
		if err := Prepare(dir); err != nil {
			t.Errorf("kill %d: %v", kill, err)
		}
		wantWhole(t, dir, fmt.Sprintf("kill %d", kill))
		if last >= 0 {
			wantRound(t, dir, last)
			wantWhole(t, dir, "closed")
		}
	}
}

// wantRound wants the pages of a durable round, or of those after it.
func wantRound(t *testing.T, dir string, round int) {
	t.Helper()
	db, err := badger.Open(badgerOptions(dir))
	must(t, err)
	must(t, db.View(func(txn *badger.Txn) error {
		for i := range 400 {
			if _, err := txn.Get(fmt.Appendf(nil, "k%d-%d", round, i)); err == nil {
				continue
			}
			if _, err := txn.Get(fmt.Appendf(nil, "k%d-%d", round+1, i)); err != nil {
				t.Errorf("page %d of round %d: %v", i, round, err)
			}
		}
		return nil
	}))
	must(t, db.Close())
}
