package syncmodel

// scope bounds an exploration.
type scope struct {
	name   string
	grafts int // with the remote Volume pulled at LSN 1
	limit  int // highest LSN of a push
	left   Budget
}

// scopes are what is explored to the end, each with one kind of trouble.
var scopes = []scope{
	{"outcomes", 2, 3, Budget{Commits: 2, Unknown: 1, Refused: 1, Crashes: 1}},
	{"retries", 1, 3, Budget{Commits: 2, Unknown: 2, Refused: 2, Crashes: 1}},
	{"power", 2, 3, Budget{Commits: 2, Relaxed: 2, Unknown: 1, Cuts: 1}},
	{"writers", 2, 4, Budget{Commits: 3, Begins: 1}},
	{"content", 1, 4, Budget{Commits: 4, Others: 4}},
	{"jumps", 2, 4, Budget{Commits: 3, Others: 2, Jumps: 1}},
	{"copies", 1, 3, Budget{Commits: 2, Unknown: 1, Refused: 1, Copies: 1}},
	{"backups", 1, 3, Budget{Commits: 3, Unknown: 1, Backups: 1}},
	{"outsider", 2, 4, Budget{Commits: 3, Unknown: 1, Tampers: 1}},
	{"resets", 2, 3, Budget{Commits: 2, Unknown: 2, Resets: 1}},
	{"sweeps", 2, 3, Budget{Commits: 2, Unknown: 1, GCs: 1}},
	{"ruins", 1, 3, Budget{Commits: 2, Tampers: 1, GCs: 2}},
	{"forks", 1, 3, Budget{Commits: 2, Others: 1, Forks: 1, GCs: 2}},
}

// deepScopes go further, for minutes.
var deepScopes = []scope{
	{"outcomes", 2, 3, Budget{Commits: 3, Unknown: 2, Refused: 1, Crashes: 1}},
	{"power", 2, 3, Budget{Commits: 3, Relaxed: 3, Unknown: 1, Cuts: 1, Crashes: 1}},
	{"copies", 2, 3, Budget{Commits: 3, Unknown: 1, Copies: 1}},
	{"outsider", 2, 4, Budget{Commits: 4, Unknown: 1, Tampers: 2, Jumps: 1}},
	{"resets", 2, 4, Budget{Commits: 3, Unknown: 2, Resets: 2}},
	{"sweeps", 2, 3, Budget{Commits: 3, Unknown: 1, Crashes: 1, GCs: 1}},
	{"forks", 1, 3, Budget{Commits: 3, Others: 1, Forks: 1, GCs: 2}},
	{"forks that crash", 1, 2, Budget{Commits: 2, Others: 1, Unknown: 1, Crashes: 1, Forks: 1, GCs: 1}},
	{"ruins", 2, 3, Budget{Commits: 2, Unknown: 1, Tampers: 1, GCs: 1}},
}
