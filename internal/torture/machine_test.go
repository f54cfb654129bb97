package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
	"gocloud.dev/blob"

	"graft"
	"graft/internal/faultbucket"
)

// errDied is what a call gets during which the machine died. It lives again.
var errDied = errors.New("the machine died")

// machine is a data directory on a line to the bucket. One goroutine uses it.
type machine struct {
	w    *world
	id   int
	name string
	r    *rand.Rand
	dir  string
	life int
	db   *graft.DB
	line *blob.Bucket

	work workload

	g      *graft.Graft // of the newest tag
	tags   int          // made so far
	synced graft.SyncPoint
	local  []local // commits of g that are not pushed, and those pushed since it was cloned
	acked  int     // of local, how many are known to be in the remote Volume
	safe   int     // of local, how many no power cut may take
	seq    uint64
	lost   bool // g has diverged
	trace  trace
	pauses int // of the process, when the call began that runs

	mu struct {
		sync.Mutex
		dice    *rand.Rand // of the faults
		faults  bool
		puts    int  // so far
		away    int  // so many requests more are lost
		dead    bool // the image was taken; the process is no more
		cut     bool
		img     image
		durable uint64 // redo record of the image up to which no power cut may take any
		cancel  func() // ends the call that runs
		struck  bool   // a fault did, since that began
		during  func() // is done once while a push is under way
	}
}

// workload is what runs on a machine.
type workload interface {
	// open is called when the process has started, and when the Tag is another.
	open(m *machine)

	// close is called before the process ends, and before the Tag is another.
	close(m *machine)

	// run commits transaction id, and calls mid while it is open.
	run(ctx context.Context, m *machine, id opID, relaxed bool, mid func()) (before, after state, lsn graft.LSN, err error)

	// state reads the state that the Graft shows.
	state(ctx context.Context, m *machine) (state, error)

	// verify compares everything that the Graft shows with what the
	// transactions make, which it gives in their order.
	verify(ctx context.Context, m *machine) ([]opID, error)

	// beside is called now and then beside a call that uses the network.
	beside(m *machine)
}

// local is a local commit.
type local struct {
	visit
	lsn    graft.LSN
	called int64
	maybe  bool // the machine died while it was committed
}

func (w *world) newMachine(id int, work workload) *machine {
	m := &machine{w: w, id: id, work: work, name: fmt.Sprintf("machine %d", id), r: rand.New(rand.NewPCG(w.seed, uint64(2*id)))}
	m.mu.dice = rand.New(rand.NewPCG(w.seed, uint64(2*id+1)))
	m.dir = m.newDir()
	m.open()
	w.t.Cleanup(m.close)
	return m
}

func (m *machine) newDir() string {
	m.life++
	return filepath.Join(m.w.base, fmt.Sprintf("%d.%d", m.id, m.life))
}

func tag(n int) string { return fmt.Sprint("main", n) }

// open starts the process.
func (m *machine) open() {
	m.mu.Lock()
	m.mu.dead, m.mu.cut, m.mu.img, m.mu.away = false, false, nil, 0
	m.mu.Unlock()
	m.line = m.w.net.Line(m.name, m.fate)
	db, err := graft.Open(background, m.dir, &graft.Options{
		Bucket: m.line, PageCache: 64 << 10,
		Logger: slog.New(slog.NewTextHandler(&m.trace, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		m.w.violation("%s cannot be opened: %v", m.name, err)
		return
	}
	m.db = db
	if m.g, err = db.Graft(background, tag(m.tags)); err != nil {
		m.w.violation("%s cannot open its graft: %v", m.name, err)
		return
	}
	m.work.open(m)
}

// close ends the process.
func (m *machine) close() {
	if m.db == nil {
		return
	}
	m.work.close(m)
	if err := errors.Join(m.db.Close(), m.line.Close()); err != nil {
		m.w.violation("%s: close: %v", m.name, err)
	}
	m.db = nil
}

// call runs fn, which uses the network. errDied tells that the machine died
// meanwhile, and that what fn did counts as far as the bucket and the image of
// the data directory have it.
func (m *machine) call(fn func(context.Context) error) error {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	m.mu.Lock()
	m.mu.cancel, m.mu.struck = cancel, false
	m.mu.Unlock()
	m.pauses = m.w.pulse.beat(time.Now())
	var wg sync.WaitGroup
	if m.r.IntN(4) == 0 {
		wg.Go(func() { m.work.beside(m) })
	}
	err := fn(ctx)
	wg.Wait()
	if m.died() {
		m.revive()
		return errDied
	}
	if err != nil && !m.expected(err) {
		m.w.violation("%s: %v, after\n\t%s", m.name, err, &m.trace)
	}
	return err
}

// expected tells whether an error is one of those that a call may give in a
// world of faults. SQLite forgets now and then why it could not read a page: that
// may be a fault of this call.
func (m *machine) expected(err error) bool {
	if errors.Is(err, graft.ErrCorrupt) || errors.Is(err, sqlite3.IOERR_DATA) {
		return false
	}
	if errors.Is(err, sqlite3.IOERR) {
		return m.struck()
	}
	for _, may := range []error{faultbucket.ErrReset, context.Canceled, graft.ErrDiverged, graft.ErrPending, sqlite3.INTERRUPT, sql.ErrTxDone} {
		if errors.Is(err, may) {
			return true
		}
	}
	if gaveUp := strings.Contains(err.Error(), "no progress within") || strings.Contains(err.Error(), "no answer within"); gaveUp {
		return m.w.pulse.beat(time.Now()) > m.pauses
	}
	return false
}

// struck tells whether a fault struck during the call that runs, or the last.
func (m *machine) struck() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.struck
}

func (m *machine) died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.dead
}

// note keeps what the machine does for its next violation.
func (m *machine) note(format string, args ...any) {
	m.trace.add(fmt.Sprintf("%d ", m.w.clock.Load()) + fmt.Sprintf(format, args...))
}

// restart ends the process in an orderly way.
func (m *machine) restart() {
	m.w.count("restart")
	m.note("restart")
	m.close()
	m.open()
	m.afterOpen(false)
}

// crash kills the process while it does nothing, or cuts its power.
func (m *machine) crash(cut bool) {
	m.mu.Lock()
	m.dieLocked(cut)
	m.mu.Unlock()
	m.revive()
}

// dieLocked takes the image of the data directory. No answer reaches the process
// from now on, so that nothing that it does counts. What a power cut may take is
// asked afterwards: what was made durable meanwhile the image may rely on.
func (m *machine) dieLocked(cut bool) {
	img, err := takeImage(m.dir)
	m.mu.img, m.mu.cut, m.mu.dead = img, cut, true
	if err == nil && cut {
		m.probe()
		m.mu.durable, err = durableNow(m.dir, img)
	}
	if err != nil {
		m.w.violation("%s: image: %v", m.name, err)
	}
}

// probe writes a redo record, which says what is durable by now.
func (m *machine) probe() {
	probe, err := m.db.Graft(background, "probe")
	if err == nil {
		_, err = probe.Update(background, func(w *graft.Writer) error {
			w.SetRelaxed(true)
			return w.Write(1, filled(opID(m.w.clock.Add(1)), 1))
		})
	}
	if err != nil {
		m.w.violation("%s: probe: %v", m.name, err)
	}
}

// revive starts the machine from the image.
func (m *machine) revive() {
	m.close()
	m.mu.Lock()
	img, cut := m.mu.img, m.mu.cut
	if cut {
		m.w.count("power cut")
		lost := img.cut(m.mu.dice, m.mu.durable)
		if lost > 0 {
			m.w.count("power cut that loses")
		}
		m.note("power cut after redo record %d loses %d", m.mu.durable, lost)
	} else {
		m.w.count("kill")
		m.note("kill")
	}
	m.mu.Unlock()
	old := m.dir
	m.dir = m.newDir()
	if err := errors.Join(img.write(m.dir), os.RemoveAll(old)); err != nil {
		m.w.violation("%s: copy: %v", m.name, err)
		return
	}
	m.open()
	if m.db != nil {
		m.afterOpen(cut)
	}
}

// afterOpen compares what is left with what was acknowledged.
func (m *machine) afterOpen(cut bool) {
	info, ok := m.info()
	if !ok {
		return
	}
	s := info.SyncPoint
	if s.Local > info.LocalHead || s.Local < m.synced.Local || s.Remote < m.synced.Remote {
		m.w.violation("%s: SyncPoint %v after %v, local head %d", m.name, s, m.synced, info.LocalHead)
	}
	kept, may := len(m.local), cut
	for kept > 0 && m.local[kept-1].lsn > info.LocalHead {
		kept--
		may = may || m.local[kept].maybe
	}
	if kept < len(m.local) && !may || kept < m.safe {
		m.w.violation("%s: %d of %d commits are left, %d were durable, power cut %v", m.name, kept, len(m.local), m.safe, cut)
	}
	for _, l := range m.local[kept:] {
		m.w.gaveUp(l.id)
		m.w.count("commit lost with its machine")
	}
	m.local = m.local[:kept]
	for i := range m.local {
		m.local[i].maybe = false
	}
	if newest := m.newest(); info.LocalHead != newest {
		m.w.violation("%s: local head is %d, newest commit is %d", m.name, info.LocalHead, newest)
	}
	m.safe = kept
	m.learn()
	m.look(0)
}

func (m *machine) newest() graft.LSN {
	if len(m.local) == 0 {
		return 0
	}
	return m.local[len(m.local)-1].lsn
}

func (m *machine) info() (graft.Info, bool) {
	info, err := m.g.Info()
	if err != nil {
		m.w.violation("%s: info: %v", m.name, err)
	}
	return info, err == nil
}

// learn notes which commits the machine knows to be in the remote Volume.
func (m *machine) learn() {
	info, ok := m.info()
	if !ok {
		return
	}
	m.synced = info.SyncPoint
	for ; m.acked < len(m.local) && m.local[m.acked].lsn <= m.synced.Local; m.acked++ {
		l := m.local[m.acked]
		m.w.saw(m.id, l.visit, l.called)
		m.w.count("landed")
	}
	m.safe = max(m.safe, m.acked)
}

// look reads the state that the Graft shows. If it shows the remote Volume alone
// that is noted, and as a read of it when called says when a call began that
// brought the newest commit.
func (m *machine) look(called int64) (s state, ok bool) {
	info, ok := m.info()
	if !ok {
		return s, false
	}
	err := m.call(func(ctx context.Context) (err error) {
		s, err = m.work.state(ctx, m)
		return err
	})
	if err != nil {
		return s, false
	}
	if n := len(m.local); info.Status.Unpushed > 0 {
		if n == 0 {
			m.w.violation("%s shows state %s, and commits that are not its own", m.name, s)
		} else if want := m.local[n-1].after; s != want {
			m.w.violation("%s shows state %s, its newest commit made %s", m.name, s, want)
		}
		return s, true
	}
	m.w.sawState(m.name, info.SyncPoint.Remote, s)
	if called > 0 {
		m.w.saw(m.id, visit{before: s, after: s}, called)
	}
	return s, true
}
