package dsn

import (
	"net/url"
	"slices"
	"strings"
)

// alias is a parameter of github.com/mattn/go-sqlite3 that stands for a pragma.
type alias struct {
	names   []string // the long and the short one
	pragma  string
	allowed []string // values; none: a number
}

var (
	switches = []string{"0", "no", "false", "off", "1", "yes", "true", "on"}

	// aliases are in the order in which their pragmas run.
	aliases = []alias{
		{[]string{"_busy_timeout", "_timeout"}, "busy_timeout", nil},
		{[]string{"_auto_vacuum", "_vacuum"}, "auto_vacuum", []string{"0", "none", "1", "full", "2", "incremental"}},
		{[]string{"_case_sensitive_like", "_cslike"}, "case_sensitive_like", switches},
		{[]string{"_defer_foreign_keys", "_defer_fk"}, "defer_foreign_keys", switches},
		{[]string{"_foreign_keys", "_fk"}, "foreign_keys", switches},
		{[]string{"_ignore_check_constraints"}, "ignore_check_constraints", switches},
		{[]string{"_journal_mode", "_journal"}, "journal_mode", []string{"delete", "truncate", "persist", "memory", "wal", "off"}},
		{[]string{"_locking_mode", "_locking"}, "locking_mode", []string{"normal", "exclusive"}},
		{[]string{"_query_only"}, "query_only", switches},
		{[]string{"_recursive_triggers", "_rt"}, "recursive_triggers", switches},
		{[]string{"_secure_delete"}, "secure_delete", append([]string{"fast"}, switches...)},
		{[]string{"_synchronous", "_sync"}, "synchronous", []string{"0", "off", "1", "normal", "2", "full", "3", "extra"}},
		{[]string{"_writable_schema"}, "writable_schema", switches},
		{[]string{"_cache_size"}, "cache_size", nil},
	}
)

// spellOut puts the pragmas of aliases before those of _pragma, and takes the
// aliases out. What is wrong with them goes to fail.
func spellOut(values url.Values, fail func(format string, args ...any)) {
	var pragmas []string
	for _, a := range aliases {
		var given []string // names
		for _, name := range a.names {
			if values.Has(name) {
				given = append(given, name)
			}
		}
		if len(given) == 0 {
			continue
		}
		name, value := given[0], values.Get(given[0])
		switch lower := strings.ToLower(value); {
		case len(given) > 1:
			fail("%s and %s are the same, and both are given", given[0], given[1])
		case len(values[name]) > 1:
			fail("%s is given %d times", name, len(values[name]))
		case a.allowed == nil && !isNumber(value):
			fail("%s=%s is not a number", name, value)
		case a.allowed != nil && !slices.Contains(a.allowed, lower):
			fail("%s=%s is not one of %s", name, value, strings.Join(a.allowed, ", "))
		default:
			pragmas = append(pragmas, a.pragma+"("+lower+")")
		}
		for _, name := range given {
			values.Del(name)
		}
	}
	if len(pragmas) > 0 {
		values["_pragma"] = append(pragmas, values["_pragma"]...)
	}
}

func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && len(digits) < 10 && strings.Trim(digits, "0123456789") == ""
}
