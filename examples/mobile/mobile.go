// Package mobile is graft for programs on Android and iOS: a face of it that gomobile can bind, which takes and gives
// numbers, strings, bytes and errors, and tells of progress through an interface. Copy it into a module of yours, which
// must require gobind and the translated SQLite, in the version of go.wasm2go.mod: gomobile takes no -modfile.
//
//	go get github.com/ncruces/go-sqlite3@v0.36.0
//	go get -tool golang.org/x/mobile/cmd/gobind
//	gomobile bind -tags graft_wasm2go -target android ./mobile
//
// The tag is what makes it fast: without it SQLite is interpreted on these systems (docs/adr/0014).
//
// A [Database] is one database of a data directory, [Rows] are the answer to a query, a [Listener] hears how far an
// operation is, and may end it. Errors become exceptions, and [Kind] says what the program can do about one. A Database
// is safe for concurrent use; Rows and Args are not.
package mobile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"graft"
	"graft/driver"
)

// Database is an open database.
type Database struct {
	store *graft.DB
	graft *graft.Graft
	sql   *sql.DB
}

// Open opens the database of the name tag in a data directory, which is made if need be: on Android it lies in the
// files directory of the application. remote is the URL of the bucket, or empty.
func Open(directory, tag, remote string) (*Database, error) {
	return open(directory, tag, &graft.Options{Remote: remote})
}

func open(directory, tag string, options *graft.Options) (_ *Database, err error) {
	ctx := context.Background()
	store, err := graft.Open(ctx, directory, options)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	g, err := store.Graft(ctx, tag)
	if err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(store, tag, &driver.Options{TimeFormat: noTime})
	if err != nil {
		return nil, err
	}
	return &Database{store: store, graft: g, sql: sql.OpenDB(connector)}, nil
}

// Close closes the database. Its Rows must be closed before.
func (d *Database) Close() error { return errors.Join(d.sql.Close(), d.store.Close()) }

// noTime is a format that no value has: the driver takes numbers and texts of some columns for times else, and a program
// gets what it wrote.
const noTime = "no value is a time"

// Execute runs statements that give no rows, and tells how many rows they changed, all of them together, with those that
// triggers and foreign keys changed. args may be null; they are those of the first statement.
func (d *Database) Execute(statement string, args *Args) (changed int64, err error) {
	ctx := context.Background()
	conn, err := d.sql.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	before, err := totalChanges(ctx, conn)
	if err != nil {
		return 0, err
	}
	if _, err := conn.ExecContext(ctx, statement, args.list()...); err != nil {
		return 0, err
	}
	after, err := totalChanges(ctx, conn)
	return after - before, err
}

// totalChanges is how many rows a connection changed so far.
func totalChanges(ctx context.Context, conn *sql.Conn) (n int64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n)
	return n, err
}

// Query runs a statement that gives rows. args may be null.
func (d *Database) Query(statement string, args *Args) (*Rows, error) {
	rows, err := d.sql.QueryContext(context.Background(), statement, args.list()...)
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return newRows(rows, columns), nil
}

// RemoteVolume is the name of what the database is in the bucket: another device clones it by this name.
func (d *Database) RemoteVolume() (string, error) {
	info, err := d.graft.Info()
	if err != nil {
		return "", err
	}
	if info.Remote.IsZero() {
		return "", nil
	}
	return info.Remote.String(), nil
}

// Status is how a database and its remote Volume stand to each other, as far as this device knows.
type Status struct {
	Unpushed int64  // transactions of this device that are not in the bucket
	Behind   int64  // commits of the bucket that are not here
	Text     string // for people
}

// Status tells how things stand, without the network.
func (d *Database) Status() (*Status, error) {
	info, err := d.graft.Info()
	if err != nil {
		return nil, err
	}
	s := info.Status
	return &Status{Unpushed: int64(s.Unpushed), Behind: int64(s.Behind), Text: s.String()}, nil
}

// Push puts the transactions of this device into the bucket, and tells how many they were. l may be null.
func (d *Database) Push(l Listener) (int64, error) {
	ctx, stop := listening(l)
	defer stop()
	pushed, err := d.graft.Push(ctx)
	return int64(pushed.Commits), err
}

// Pull moves to the newest commit in the bucket, and tells whether it was another one. It fetches no page: queries do.
// l may be null.
func (d *Database) Pull(l Listener) (bool, error) {
	ctx, stop := listening(l)
	defer stop()
	pulled, err := d.graft.Pull(ctx)
	return pulled.From != pulled.To, err
}

// Clone makes the database one that another device pushed, by the name that RemoteVolume gave there. l may be null.
func (d *Database) Clone(remoteVolume string, l Listener) error {
	v, err := graft.ParseVolumeID(remoteVolume)
	if err != nil {
		return err
	}
	ctx, stop := listening(l)
	defer stop()
	return d.graft.Clone(ctx, v)
}

// Download fetches every page that is not here, for a time without network, and tells how many they were. l may be
// null.
func (d *Database) Download(l Listener) (int64, error) {
	ctx, stop := listening(l)
	defer stop()
	got, err := d.graft.Hydrate(ctx)
	return int64(got.Done), err
}

// Reset takes the bucket's newest commit, where both sides moved. What this device had and did not push stays under
// another tag, whose name it gives, empty if there was nothing. l may be null.
func (d *Database) Reset(l Listener) (string, error) {
	ctx, stop := listening(l)
	defer stop()
	_, backup, err := d.graft.Reset(ctx)
	return backup, err
}

// Listener is what hears how far an operation is.
type Listener interface {
	// Progress is called from a thread of graft's. total is 0 as long as it is not known. False ends the operation,
	// which then fails with KindCancelled.
	Progress(operation, phase string, bytes, total int64) bool
}

// listening gives the context of an operation that l hears of.
func listening(l Listener) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if l == nil {
		return ctx, cancel
	}
	return graft.WithProgress(ctx, func(p graft.Progress) {
		if !l.Progress(p.Op, string(p.Phase), p.Bytes, p.TotalBytes) {
			cancel()
		}
	}), cancel
}

// Kinds of errors.
const (
	KindNone      = ""
	KindCancelled = "cancelled" // a Listener ended it
	KindDiverged  = "diverged"  // both sides moved: Reset, or bring the changes over
	KindFull      = "full"      // the device has no space left
	KindCorrupt   = "corrupt"   // the data directory or the bucket is damaged
	KindNoVolume  = "novolume"  // the bucket has nothing of that name
	KindInUse     = "inuse"     // another process has the data directory
	KindOther     = "other"
)

// Kind says what an error of this package is.
func Kind(err error) string {
	if err == nil {
		return KindNone
	}
	for _, k := range []struct {
		target error
		kind   string
	}{
		{context.Canceled, KindCancelled},
		{graft.ErrDiverged, KindDiverged},
		{graft.ErrFull, KindFull},
		{graft.ErrCorrupt, KindCorrupt},
		{graft.ErrNoVolume, KindNoVolume},
		{graft.ErrInUse, KindInUse},
	} {
		if errors.Is(err, k.target) {
			return k.kind
		}
	}
	return KindOther
}

// Args are the values of a statement's parameters, in order.
type Args struct{ values []any }

// NewArgs gives no values, to which others are added.
func NewArgs() *Args { return &Args{} }

func (a *Args) list() []any {
	if a == nil {
		return nil
	}
	return a.values
}

// AddNull adds NULL.
func (a *Args) AddNull() { a.values = append(a.values, nil) }

// AddInteger adds a whole number.
func (a *Args) AddInteger(v int64) { a.values = append(a.values, v) }

// AddReal adds a number.
func (a *Args) AddReal(v float64) { a.values = append(a.values, v) }

// AddText adds a text.
func (a *Args) AddText(v string) { a.values = append(a.values, v) }

// AddBytes adds bytes, which it copies: what gomobile passes is the caller's.
func (a *Args) AddBytes(v []byte) { a.values = append(a.values, append([]byte{}, v...)) }

// errNoColumn is of a number that no column has.
func errNoColumn(i, n int) error { return fmt.Errorf("mobile: column %d of %d", i, n) }
