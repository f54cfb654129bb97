// Package platform has the tests of graft on other operating systems and processors: that it compiles for them, that
// its tests pass on those that can be emulated, and that what one has written all others read. docs/platforms.md says
// what came of it.
package platform
