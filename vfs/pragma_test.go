package vfs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

var update = flag.Bool("update", false, "write the golden file")

// machine is a connection of a data directory of its own.
type machine struct {
	*sqlite3.Conn
	t    *testing.T
	name string
}

func newMachine(t *testing.T, name, remote string) *machine {
	t.Helper()
	conn, err := sqlite3.Open("file:main?vfs=graft&dir=" + escape(t.TempDir()) + "&remote=" + remote)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return &machine{conn, t, name}
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// ask gives the one row of a pragma.
func (m *machine) ask(statement string) (string, error) {
	m.t.Helper()
	stmt, _, err := m.Prepare(statement)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return "", fmt.Errorf("no row: %w", stmt.Err())
	}
	return stmt.ColumnText(0), nil
}

// field gives a field of a pragma's document.
func (m *machine) field(pragma, field string) string {
	m.t.Helper()
	text, err := m.ask("PRAGMA " + pragma)
	if err != nil {
		m.t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprint(doc[field])
}

// masks hide what differs between runs. Equal ids have equal names.
type masks struct {
	names map[string]string
	dir   string
}

var (
	patternID     = regexp.MustCompile(`\b[SV][1-9A-HJ-NP-Za-km-z]{21}\b`)
	patternHash   = regexp.MustCompile(`\b[0-9a-f]{32,64}\b`)
	patternTime   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	patternSQLite = regexp.MustCompile(`(\bsqlite_version"?: ?)\d+`)
	patternSize   = regexp.MustCompile(`(\b(?:[Rr]ecord[ _])?[Bb]ytes"?: ?|LSN \d+  TIME  \d+ pages  )\d+`)
)

func (m *masks) hide(text string) string {
	text = patternID.ReplaceAllStringFunc(text, func(id string) string {
		if m.names[id] == "" {
			m.names[id] = fmt.Sprintf("%c%d", id[0], len(m.names)+1)
		}
		return m.names[id]
	})
	text = patternHash.ReplaceAllString(text, "HASH")
	text = patternTime.ReplaceAllString(text, "TIME")
	text = strings.ReplaceAll(text, m.dir, "DIR")
	text = strings.ReplaceAll(text, version(), "VERSION")
	text = patternSQLite.ReplaceAllString(text, "${1}NUMBER")
	return patternSize.ReplaceAllString(text, "${1}SIZE")
}

// script runs pragmas on machines and writes down what they give.
type script struct {
	t      *testing.T
	golden bytes.Buffer
	hidden masks
	seen   map[string]bool // pragmas that gave a document
}

// run runs a pragma in one form.
func (s *script) run(m *machine, name, value string) {
	s.t.Helper()
	statement := "PRAGMA " + name
	if value != "" {
		statement += " = " + value
	}
	text, err := m.ask(statement)
	if err != nil {
		text = "error: " + err.Error()
	} else if plain, asJSON := strings.CutSuffix(name, "_json"); asJSON {
		s.seen[plain] = true
		checkDocument(s.t, plain, text)
	}
	fmt.Fprintf(&s.golden, "%s> %s\n%s\n\n", m.name, s.hidden.hide(statement), s.hidden.hide(text))
}

// both runs a pragma in both forms.
func (s *script) both(m *machine, name, value string) {
	s.t.Helper()
	s.run(m, name, value)
	s.run(m, name+"_json", value)
}

func (s *script) exec(m *machine, sql string) {
	s.t.Helper()
	if err := m.Exec(sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	fmt.Fprintf(&s.golden, "%s> %s\n\n", m.name, sql)
}

// TestPragmas goes through every pragma in both forms, as the golden file has it.
func TestPragmas(t *testing.T) {
	a, b := newMachine(t, "a", "mem://TestPragmas"), newMachine(t, "b", "mem://TestPragmas")
	dir := filepath.ToSlash(t.TempDir())
	s := &script{t: t, hidden: masks{make(map[string]string), dir}, seen: make(map[string]bool)}
	s.alone(a)
	local, remote := a.field("graft_info_json", "graft"), a.field("graft_info_json", "remote")
	s.synced(a, b, local, remote)
	s.both(newMachine(t, "c", "mem://TestPragmas"), "graft_stats", "")
	s.diverged(a, b, remote)
	s.moving(a, local, remote, dir)
	for _, name := range slices.Sorted(maps.Keys(pragmas)) {
		if !s.seen[name] {
			t.Errorf("%s gave no document", name)
		}
	}
	compareGolden(t, filepath.Join("testdata", "pragmas.txt"), s.golden.Bytes())
}

// alone shows a database before and after its first commits.
func (s *script) alone(a *machine) {
	for _, name := range []string{"graft_version", "graft_tags", "graft_list", "graft_status", "graft_info", "graft_snapshot", "graft_log", "graft_dump_header"} {
		s.both(a, name, "")
	}
	s.exec(a, "CREATE TABLE t(a)")
	s.exec(a, "INSERT INTO t VALUES (1)")
	for _, name := range []string{"graft_tags", "graft_list", "graft_volumes", "graft_status", "graft_info", "graft_snapshot", "graft_log", "graft_dump_header", "graft_audit"} {
		s.both(a, name, "")
	}
}

// synced has two machines push and pull.
func (s *script) synced(a, b *machine, local, remote string) {
	s.both(a, "graft_dump_commit", "'"+local+":2'")
	s.both(a, "graft_push", "")
	s.both(b, "graft_clone", "'"+remote+"'")
	s.both(a, "graft_warm", "")
	s.run(b, "graft_warm_publish", "")
	s.both(a, "graft_warm_publish", "")
	s.both(b, "graft_warm_publish", "'64kB'")
	s.both(a, "graft_warm", "")
	s.both(b, "graft_warm_publish", "'many'")
	s.both(b, "graft_audit", "")
	s.both(b, "graft_hydrate", "")
	s.both(b, "graft_offline", "")
	s.both(b, "graft_offline", "'SELECT * FROM t'")
	s.both(b, "graft_offline", "'DELETE FROM t'")
	s.both(b, "graft_offline", "'SELECT * FROM absent'")
	s.pinned(b)
	s.exec(b, "INSERT INTO t VALUES (2)")
	s.both(b, "graft_push", "")
	s.both(a, "graft_fetch", "")
	s.both(a, "graft_status", "")
	s.both(a, "graft_pull", "")
	s.both(a, "graft_log", "")
	s.both(a, "graft_log", "1")
	s.both(a, "graft_dump_commit", "'"+remote+":1'")
	s.both(a, "graft_dump_commit", "'"+remote+":7'")
	s.both(a, "graft_checkout", "'"+remote+":1'")
	s.both(a, "graft_checkout", "'"+remote+":7'")
	s.both(a, "graft_switch", "'"+local+"'")
}

// pinned makes pins and takes them back.
func (s *script) pinned(b *machine) {
	s.both(b, "graft_pins", "")
	for _, pin := range []string{"'table T'", "'all'", "'snapshot'", "'table nothing'", "'tables'"} {
		s.both(b, "graft_pin", pin)
	}
	s.both(b, "graft_pins", "")
	s.run(b, "graft_unpin", "'table T'")
	s.run(b, "graft_unpin_json", "'snapshot'")
	s.both(b, "graft_unpin", "'table T'")
}

// diverged has both machines commit.
func (s *script) diverged(a, b *machine, remote string) {
	s.exec(a, "INSERT INTO t VALUES (3)")
	s.exec(b, "INSERT INTO t VALUES (4)")
	s.run(b, "graft_push", "")
	s.both(a, "graft_push", "")
	s.both(a, "graft_status", "")
	s.both(a, "graft_checkout", "'"+remote+":1'")
	s.both(a, "graft_reset", "")
}

// moving moves the tag, and takes files in and out.
func (s *script) moving(a *machine, local, remote, dir string) {
	s.both(a, "graft_fork", "'it''s 50% \"new\nfork\"'")
	s.run(a, "graft_fork_json", "'second fork'")
	s.both(a, "graft_fork", "")
	path := sqlite3.Quote(dir + "/it's 50% off")
	s.both(a, "graft_status", "")
	s.both(a, "graft_export", path)
	s.run(a, "graft_export_json", sqlite3.Quote(dir+"/second"))
	s.both(a, "graft_new", "'fresh'")
	s.run(a, "graft_new_json", "'other'")
	s.both(a, "graft_new", "")
	s.both(a, "graft_import", path)
	s.run(a, "graft_new", "")
	s.run(a, "graft_import_json", path)
	s.both(a, "graft_switch", "'"+local+":"+remote+"'")
	s.both(a, "graft_switch", "'it''s 50% \"new\nfork\"'")
	s.both(a, "graft_switch", "'nothing:there'")
	s.both(a, "graft_tags", "")
	s.exec(a, "BEGIN IMMEDIATE")
	for _, name := range slices.Sorted(maps.Keys(pragmas)) {
		switch p := pragmas[name]; {
		case p.moves && p.argument != "":
			s.both(a, name, "'x'")
		case p.moves:
			s.both(a, name, "")
		}
	}
	s.exec(a, "ROLLBACK")
	s.both(a, "graft_nonsense", "")
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("%s, line %d differs; what is right now is written by -update:\n%s", path, i+1, strings.Join(gotLines[max(0, i-3):min(i+5, len(gotLines))], "\n"))
		}
	}
}

// documents are the types of the pragmas' documents.
var documents = map[string]reflect.Type{
	"graft_tags":        reflect.TypeFor[tagsDoc](),
	"graft_list":        reflect.TypeFor[listDoc](),
	"graft_volumes":     reflect.TypeFor[listDoc](),
	"graft_new":         reflect.TypeFor[movedDoc](),
	"graft_switch":      reflect.TypeFor[movedDoc](),
	"graft_clone":       reflect.TypeFor[movedDoc](),
	"graft_fork":        reflect.TypeFor[movedDoc](),
	"graft_checkout":    reflect.TypeFor[movedDoc](),
	"graft_reset":       reflect.TypeFor[resetDoc](),
	"graft_info":        reflect.TypeFor[infoDoc](),
	"graft_status":      reflect.TypeFor[statusDoc](),
	"graft_snapshot":    reflect.TypeFor[snapshotDoc](),
	"graft_fetch":       reflect.TypeFor[fetchDoc](),
	"graft_pull":        reflect.TypeFor[pullDoc](),
	"graft_push":        reflect.TypeFor[pushDoc](),
	"graft_hydrate":     reflect.TypeFor[hydrateDoc](),
	"graft_audit":       reflect.TypeFor[auditDoc](),
	"graft_version":     reflect.TypeFor[versionDoc](),
	"graft_export":      reflect.TypeFor[fileDoc](),
	"graft_import":      reflect.TypeFor[fileDoc](),
	"graft_dump_header": reflect.TypeFor[map[string]uint32](),
	"graft_dump_commit": reflect.TypeFor[commitDoc](),
	"graft_log":         reflect.TypeFor[logDoc](),
	"graft_stats":       reflect.TypeFor[statsDoc](),

	"graft_pin":          reflect.TypeFor[pinnedDoc](),
	"graft_unpin":        reflect.TypeFor[unpinnedDoc](),
	"graft_pins":         reflect.TypeFor[pinsDoc](),
	"graft_offline":      reflect.TypeFor[offlineDoc](),
	"graft_warm":         reflect.TypeFor[warmDoc](),
	"graft_warm_publish": reflect.TypeFor[warmPublishDoc](),
}

// checkDocument reads a document into its type, which must have all of its fields.
func checkDocument(t *testing.T, name, text string) {
	t.Helper()
	doc := reflect.New(documents[name])
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(doc.Interface()); err != nil {
		t.Errorf("%s: %v in %s", name, err, text)
	}
	if again, err := json.Marshal(doc.Interface()); documents[name].Kind() == reflect.Struct && (err != nil || string(again) != text) {
		t.Errorf("%s: read and written again %s is %s (%v)", name, text, again, err)
	}
}

// shape gives the form of a document: field names, [] about what repeats.
func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return shape(t.Elem())
	case reflect.Slice:
		return strings.TrimSuffix(" ["+strings.TrimSpace(shape(t.Elem())), " ") + "]"
	case reflect.Struct:
		return " {" + strings.Join(fields(t), ", ") + "}"
	}
	return ""
}

func fields(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			names = append(names, fields(f.Type)...)
		} else {
			names = append(names, f.Tag.Get("json")+shape(f.Type))
		}
	}
	return names
}

// TestPragmasAreDocumented compares the table of docs/pragmas.md with the code.
func TestPragmasAreDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "docs", "pragmas.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for l := range strings.Lines(string(b)) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(l), "|"), "|"); strings.HasPrefix(l, "| `graft_") && len(cells) == 5 {
			for i := range cells {
				cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
			}
			rows[cells[0]] = cells
		}
	}
	for name, p := range pragmas {
		form := strings.TrimSpace(shape(documents[name]))
		if name == "graft_dump_header" {
			form = "{a number for each field}"
		}
		transaction := "yes"
		if p.moves {
			transaction = "no"
		}
		if row := rows[name]; row == nil || row[1] != p.argument || row[3] != form || row[4] != transaction {
			t.Errorf("docs/pragmas.md has %q, want | `%s` | `%s` | … | `%s` | %s |", row, name, p.argument, form, transaction)
		}
	}
	if len(rows) != len(pragmas) {
		t.Errorf("docs/pragmas.md has %d pragmas, want %d", len(rows), len(pragmas))
	}
}

// TestListShowsEveryGraft has one with a Tag that is not current, one without a
// Tag, and the current one with two.
func TestListShowsEveryGraft(t *testing.T) {
	m := newMachine(t, "m", "mem://TestList")
	for _, statement := range []string{"CREATE TABLE t(a)", "PRAGMA graft_fork = 'b'", "PRAGMA graft_new"} {
		if err := m.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	current := m.field("graft_info_json", "graft")
	for _, statement := range []string{"PRAGMA graft_switch = 'a'", "PRAGMA graft_switch = '" + current + "'"} {
		if err := m.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	text, err := m.ask("PRAGMA graft_list_json")
	if err != nil {
		t.Fatal(err)
	}
	var doc listDoc
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, g := range doc.Grafts {
		if g.Current != (g.Graft == current) {
			t.Errorf("current: %+v", g)
		}
		got[strings.Join(g.Tags, " ")] = true
	}
	if want := map[string]bool{"": true, "b": true, "a main": true}; !maps.Equal(got, want) || len(doc.Grafts) != 3 {
		t.Errorf("grafts have the tags %v, want %v", got, want)
	}
}

func TestSwitchTakesATagBeforeAGraft(t *testing.T) {
	m := newMachine(t, "m", "mem://TestSwitchTakesATag")
	if err := m.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	id := m.field("graft_info_json", "graft")
	if err := m.Exec("PRAGMA graft_fork = '" + id + "'; PRAGMA graft_switch = '" + id + "'"); err != nil {
		t.Fatal(err)
	}
	if tag := m.field("graft_info_json", "tag"); tag != id {
		t.Errorf("the tag is %s, want %s", tag, id)
	}
}

func TestReadOnlyConnectionsMakeNothing(t *testing.T) {
	dir := t.TempDir()
	name := "file:main?vfs=graft&dir=" + escape(dir)
	conn, err := sqlite3.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := &machine{conn, t, "m"}
	if err := conn.Exec("CREATE TABLE t(a); PRAGMA graft_fork = 'other'"); err != nil {
		t.Fatal(err)
	}
	tags, err := m.ask("PRAGMA graft_tags")
	if err != nil {
		t.Fatal(err)
	}
	ro, err := sqlite3.OpenFlags(name+"&mode=ro", sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	values := map[string]string{"graft_switch": m.field("graft_info_json", "graft")}
	for pragma, p := range pragmas {
		if value := values[pragma]; p.writes || value != "" {
			if value == "" {
				value = "x"
			}
			statement := "PRAGMA " + pragma
			if p.argument != "" {
				statement += " = '" + value + "'"
			}
			if err := ro.Exec(statement); err == nil || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("%s: %v", pragma, err)
			}
		}
	}
	if again, err := m.ask("PRAGMA graft_tags"); err != nil || again != tags {
		t.Errorf("tags are %s (%v), want %s", again, err, tags)
	}
}
