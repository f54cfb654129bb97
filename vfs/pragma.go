package vfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"
)

// pragma is one of graft's own pragmas. Its error becomes the SQL error's text,
// its text the one row of its result; or, where "_json" follows the name, a JSON
// document. docs/pragmas.md describes them all.
type pragma struct {
	argument  string // what it takes, in brackets where that may be left out, or "" for nothing
	moves     bool   // what the connection shows may change: not inside a transaction
	writes    bool   // not on a read-only connection
	uncounted bool   // is no statement of its own for graft_stats
	run       func(f *file, ctx context.Context, arg string) (text string, doc any, err error)
}

var pragmas = map[string]pragma{
	"graft_tags":        {run: (*file).pragmaTags},
	"graft_list":        {run: (*file).pragmaList},
	"graft_volumes":     {run: (*file).pragmaList},
	"graft_new":         {argument: "[TAG]", moves: true, writes: true, run: (*file).pragmaNew},
	"graft_switch":      {argument: "TAG or VOLUMEID[:REMOTE]", moves: true, run: (*file).pragmaSwitch},
	"graft_clone":       {argument: "VOLUMEID", moves: true, writes: true, run: (*file).pragmaClone},
	"graft_fork":        {argument: "[TAG]", moves: true, writes: true, run: (*file).pragmaFork},
	"graft_checkout":    {argument: "VOLUMEID:LSN", moves: true, writes: true, run: (*file).pragmaCheckout},
	"graft_reset":       {moves: true, writes: true, run: (*file).pragmaReset},
	"graft_info":        {run: (*file).pragmaInfo},
	"graft_status":      {run: (*file).pragmaStatus},
	"graft_snapshot":    {run: (*file).pragmaSnapshot},
	"graft_fetch":       {run: (*file).pragmaFetch},
	"graft_pull":        {moves: true, run: (*file).pragmaPull},
	"graft_push":        {moves: true, run: (*file).pragmaPush},
	"graft_hydrate":     {run: (*file).pragmaHydrate},
	"graft_audit":       {run: (*file).pragmaAudit},
	"graft_version":     {run: (*file).pragmaVersion},
	"graft_export":      {argument: "PATH", run: (*file).pragmaExport},
	"graft_import":      {argument: "PATH", moves: true, writes: true, run: (*file).pragmaImport},
	"graft_dump_header": {run: (*file).pragmaDumpHeader},
	"graft_dump_commit": {argument: "VOLUMEID:LSN", run: (*file).pragmaDumpCommit},
	"graft_log":         {argument: "[COUNT]", run: (*file).pragmaLog},
	"graft_stats":       {uncounted: true, run: (*file).pragmaStats},

	"graft_pin":          {argument: "PIN", run: (*file).pragmaPin},
	"graft_unpin":        {argument: "PIN", run: (*file).pragmaUnpin},
	"graft_pins":         {run: (*file).pragmaPins},
	"graft_offline":      {argument: "[QUERY]", moves: true, run: (*file).pragmaOffline},
	"graft_warm":         {run: (*file).pragmaWarm},
	"graft_warm_publish": {argument: "[SIZE]", run: (*file).pragmaWarmPublish},
}

// Pragma answers graft's pragmas, and pins what a file of graft cannot change.
// It is called when a statement is prepared, and not again when it runs.
func (f *file) Pragma(name, value string) (string, error) {
	switch name {
	case "journal_mode", "locking_mode":
		if f.guest.asking {
			return "", sqlite3.NOTFOUND
		}
	}
	switch name {
	case "journal_mode":
		return "delete", nil
	case "locking_mode":
		return "normal", nil // a lock that is never released would show one Snapshot for ever
	case "page_size":
		if value != "" {
			return "", nil // taken and ignored, as other VFSs of one page size do
		}
	case "busy_timeout":
		return f.busyTimeout(value)
	case "synchronous":
		f.setSynchronous(value)
		return "", sqlite3.NOTFOUND // SQLite keeps it as well
	}
	if !strings.HasPrefix(name, "graft_") {
		return "", sqlite3.NOTFOUND
	}
	text, err := f.graftPragma(name, value)
	if err != nil {
		f.keepCause(err, sqlite3.ExtendedErrorCode(sqlite3.ERROR))
		// go-sqlite3 takes the text of errors that are no codes of SQLite.
		return "", errors.New(err.Error())
	}
	return text, nil
}

// graftPragma runs one of graft's own pragmas.
func (f *file) graftPragma(name, value string) (string, error) {
	plain, asJSON := strings.CutSuffix(name, "_json")
	p, ok := pragmas[plain]
	switch {
	case !ok:
		return "", fmt.Errorf("graft: there is no pragma %s", name)
	case p.argument != "" && p.argument[0] != '[' && value == "":
		return "", fmt.Errorf("graft: pragma %s needs a value: PRAGMA %s = '%s'", name, name, p.argument)
	case p.argument == "" && value != "":
		return "", fmt.Errorf("graft: pragma %s takes no value", name)
	case p.moves && f.inTransaction():
		return "", fmt.Errorf("graft: pragma %s cannot run inside a transaction", name)
	case p.writes && f.readOnly:
		return "", fmt.Errorf("graft: pragma %s cannot run on a read-only connection", name)
	}
	ctx := f.interrupt()
	if !p.uncounted {
		f.stats.begin(ctx)
		ctx = f.unbounded()
	}
	text, doc, err := p.run(f, ctx, value)
	if err != nil || !asJSON {
		return text, err
	}
	b, err := json.Marshal(doc)
	return string(b), err
}

// setSynchronous follows what SQLite does with the value: it refuses the pragma
// inside a transaction, and takes what it does not know for NORMAL.
func (f *file) setSynchronous(value string) {
	if value == "" || !f.autocommits() && f.isOpen() {
		return
	}
	if value[0] >= '0' && value[0] <= '9' {
		level := (uint8(leadingNumber(value)) + 1) & 7 // as SQLite counts: 3 is FULL, 0 and 1 are OFF
		f.relaxed = level < 3
		return
	}
	switch strings.ToLower(value) {
	case "full", "extra":
		f.relaxed = false
	default:
		f.relaxed = true
	}
}

// leadingNumber reads the number that a text begins with, as SQLite does: zero
// when it has more than 32 bits.
func leadingNumber(text string) int64 {
	base, digits := 10, "0123456789"
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		base, digits, text = 16, "0123456789abcdef", strings.ToLower(hex)
	}
	end := len(text) - len(strings.TrimLeft(text, digits))
	n, err := strconv.ParseInt(text[:end], base, 64)
	if err != nil || n != int64(int32(n)) {
		return 0
	}
	return n
}

// autocommits tells whether the connection has no transaction open. It cannot
// tell, and says no, while the connection is being opened.
func (f *file) autocommits() bool { return f.conn == nil || f.conn.GetAutocommit() }

// isOpen tells whether the connection has been opened. Until then, while its pragmas
// run, go-sqlite3 asks SQLite about a connection at address zero, which has no limits.
func (f *file) isOpen() bool { return f.conn != nil && f.conn.Limit(sqlite3.LIMIT_LENGTH, -1) > 0 }

// inTransaction tells whether the connection has a transaction open, on this
// database or another one. While it is being opened it has none.
func (f *file) inTransaction() bool {
	return f.lock != sqlite3vfs.LOCK_NONE || !f.autocommits() && f.isOpen()
}
