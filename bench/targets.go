package main

// targets are what rows are held to, by their names: a document is judged by those of
// today's code, whatever held when its samples were taken.
func targets() map[string]target {
	all := map[string]target{
		"writers-8": writersTarget, "writers-8-p99": waitsTarget, "readers-7-writer": readersTarget,
		"lookup-history": lookupTarget, "open": openTarget, "open-memory": openMemoryTarget,
		"transaction-2GB-memory": transactionTarget, "transaction-2GB-overwrite-memory": transactionTarget,
		"space": spaceTarget, "space-deleted": deletedTarget,
		"space-commits": reclaimMedianTarget, "space-commits-longest": reclaimLongestTarget,
		"first-page-1": firstPageTarget, "first-page-1000": firstPageTarget, "first-page": firstPageTarget, "first-page-same": sameTarget,
		"push-one-row": pushTarget, "push-one-row-time": pushTimeTarget, "pull-1000": pullTarget, "idle": idleTarget, "idle-list": idleListTarget,
	}
	for _, w := range localTable() {
		all[w.name] = w.heldTo()
	}
	for _, step := range rewriteSteps {
		all[rewriteName(step)+"-memory"] = transactionTarget
	}
	for _, name := range []string{"push-165MB", "hydrate-165MB"} {
		for _, line := range []string{name, name + "-1Gbit"} {
			all[line], all[line+"-memory"] = bulkTarget, bulkMemoryTarget
		}
	}
	coldTargets(all)
	return all
}

// coldTargets adds those of the cold queries.
func coldTargets(all map[string]target) {
	for _, q := range append(warmQueries(), coldQueries...) {
		all[q.name], all[q.name+"-bytes"], all[q.name+"-trips"] = bounded(q.requests, requests), bounded(q.bytes, octets), bounded(q.trips, requests)
		all[q.name+"-time"] = coldTimeTarget
	}
	for _, q := range coldQueries {
		for _, metric := range []string{"", "-bytes", "-trips", "-time"} {
			all[q.name+"-pushed"+metric] = coldRatioTarget
		}
		if q.pattern {
			name := q.name + "-" + large
			all[name], all[name+"-trips"], all[name+"-time"] = coldMoreTarget, coldMoreTarget, coldTimeTarget
		}
	}
}
