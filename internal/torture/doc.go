// Package torture has tests alone: machines race on one remote Volume over a
// network that loses, delays and repeats requests, while their processes are
// killed and their power is cut.
//
// A machine is a data directory with the one goroutine that uses it. What it
// saw of the remote Volume is a history, which must be linearizable; what the
// bucket took must be a chain of commits; and in the end all replicas must be
// equal. The tests use the public API, and of the formats those that are
// documented: of commit records and of the redo journal.
//
// A run is short unless -torture.rounds says how many rounds each machine has.
// The faults follow from the seed, which a run prints and -torture.seed gives;
// the order in which machines run does not.
package torture
