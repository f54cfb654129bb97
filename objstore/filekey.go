package objstore

import (
	"fmt"
	"path/filepath"
	"strings"
)

// How keys become paths. A key is cut at its slashes; each part becomes the name of one directory or, the last, of
// the object's file:
//
//   - Letters, digits, "_", "-", and "." inside are themselves, another byte is %XX, and the empty part is %-.
//     The first letter of a name that Windows reserves (con, nul.txt, ...) is %XX as well. No name begins with a dot.
//   - In one directory, an object "a" and a folder "a" of other objects must differ: one of them ends in %. In the
//     directories that graft keeps objects in (objectDirs) that is the folder, elsewhere the object.
//
// So the mapping is injective, the same on all systems, and graft's own keys map to themselves. A name that no key
// maps to is foreign, and never listed.

// objectDirs are the last parts of the prefixes under which graft keeps objects. It changes with no layout: an object
// elsewhere merely gets the mark.
var objectDirs = map[string]bool{"log": true, "checkpoints": true, "pins": true, "floors": true, "segments": true}

// keyPath returns the path below the root for key.
func keyPath(key string) string {
	dir, name := splitKey(key)
	parent := lastPart(dir)
	return filepath.Join(dirPath(dir), encodeName(name, false, parent))
}

// dirPath returns the path below the root for the directory of the keys that begin with prefix, which is empty or
// ends in a slash.
func dirPath(prefix string) string {
	path, parent := "", ""
	for prefix != "" {
		part, rest, _ := strings.Cut(prefix, "/")
		path = filepath.Join(path, encodeName(part, true, parent))
		prefix, parent = rest, part
	}
	return path
}

// splitKey cuts key after its last slash.
func splitKey(key string) (dir, name string) {
	i := strings.LastIndexByte(key, '/') + 1
	return key[:i], key[i:]
}

// lastPart returns the last part of a prefix that is empty or ends in a slash.
func lastPart(prefix string) string {
	_, name := splitKey(strings.TrimSuffix(prefix, "/"))
	return name
}

// encodeName returns the file name for a part of a key in the directory for the part parent.
func encodeName(part string, isDir bool, parent string) string {
	var name strings.Builder
	if part == "" {
		name.WriteString("%-")
	}
	reserved := isReserved(part)
	for i := range len(part) {
		switch c := part[i]; {
		case reserved && i == 0, !isPlain(c) && (c != '.' || i == 0 || i == len(part)-1):
			fmt.Fprintf(&name, "%%%02X", c)
		default:
			name.WriteByte(c)
		}
	}
	if isDir == objectDirs[parent] {
		name.WriteByte('%')
	}
	return name.String()
}

// decodeName is the inverse of encodeName. It reports false for a name that encodeName does not make.
func decodeName(name string, isDir bool, parent string) (part string, ok bool) {
	escaped := strings.TrimSuffix(name, "%")
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' || escaped == "%-" {
			b.WriteByte(escaped[i])
			continue
		}
		if i+2 >= len(escaped) {
			return "", false
		}
		b.WriteByte(unhex(escaped[i+1])<<4 | unhex(escaped[i+2]))
		i += 2
	}
	part = b.String()
	if escaped == "%-" {
		part = ""
	}
	return part, encodeName(part, isDir, parent) == name
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// isReserved reports whether Windows takes the name for a device.
func isReserved(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}

// unhex returns the value of a hex digit, and anything for another byte: decodeName checks its result as a whole.
func unhex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
