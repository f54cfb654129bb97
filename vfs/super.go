package vfs

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"
)

// superJournal is the file in which a COMMIT of several databases lists their
// journals, where the main database is of graft. After a crash SQLite rolls a
// database back only if it finds the file that its journal names. Databases of
// graft need none. A plain file does: its VFS would look for the name of a Tag as
// if it were a path, not find it, and leave the file half-written; so would a
// rollback without a crash. Such a COMMIT is refused here, where nothing of it is
// written yet. Where a plain file is the main database, its VFS makes the
// super-journal, and all is well.
type superJournal struct {
	tempFile
	vfs   *graftVFS
	names []string // of the main database, and of those whose journals are named
}

// refusal is why a COMMIT was refused, for the files of the databases in it.
type refusal struct {
	names []string
	err   error
}

// openNames counts the open databases by their names.
type openNames struct {
	mu struct {
		sync.Mutex
		count map[string]int
	}
}

func (o *openNames) add(name string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.count == nil {
		o.mu.count = map[string]int{}
	}
	if o.mu.count[name] += n; o.mu.count[name] == 0 {
		delete(o.mu.count, name)
	}
}

func (o *openNames) has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.count[name] > 0
}

// WriteAt takes the name of the journal of one database.
func (s *superJournal) WriteAt(p []byte, off int64) (int, error) {
	name := strings.TrimSuffix(strings.TrimRight(string(p), "\x00"), "-journal")
	if s.vfs.names.has(name) {
		s.names = append(s.names, name)
		return s.tempFile.WriteAt(p, off)
	}
	err := fmt.Errorf("graft: one COMMIT cannot write %s, which is not of graft, with others where the main database is a tag: write it in a transaction of its own, or open it as the main database and ATTACH the tags", nameText(name))
	s.vfs.refused.Store(&refusal{s.names, err})
	return 0, sqlite3vfs.SystemError(err, sqlite3.CANTOPEN)
}

// takeRefusal makes it the cause of a file, if its COMMIT has just been refused.
func (f *file) takeRefusal() {
	refused := &f.vfs.refused
	if r := refused.Load(); r != nil && slices.Contains(r.names, f.name) && refused.CompareAndSwap(r, nil) {
		f.keepCause(r.err, sqlite3.ExtendedErrorCode(sqlite3.CANTOPEN))
	}
}
