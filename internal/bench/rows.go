package main

import "time"

// rows are all of the table, in its order. Each has a target or answers a question of docs/design.md.
var rows []row

func init() { // rows and the rows' functions know each other
	rows = []row{
		{"signed/32", "a signed-in request, 32 connections", signedRow(siteStatic, shape{conns: 32}, siteSigned, 0.98, 1.04)},
		{"signed/128", "the same, 128 connections", signedRow(siteStatic, shape{conns: 128}, siteSigned, 0.98, 1.04)},
		{"signed/bare", "the same, 32 connections", signedRow(siteBare, shape{conns: 32}, siteSigned, 0, 0)},
		{"signed/bytes", "no gate, but a header of that size", signedRow(siteBare, shape{conns: 32}, siteStatic, 0, 0)},
		{"signed/h2", "the same, HTTP/2, 32 streams on 4 connections", signedRow(siteStatic, shape{conns: 32, h2: true}, siteSigned, 0.98, 1.04)},
		{"signed/p50", "the same, one connection", latencyRow},
		{"signed/p99", "the same, 2 000 requests/s on 32 connections", tailRow},
		{"signed/memory", "the same, one connection", memoryRow},
		{"signed/parent", "the same, whose session is the portal's", parentRow},
		{"size", "the assertion", sizeRow},
		{"hit", "the session check by itself", hitRow},
		{"token", "a request with a machine token", tokenRow},
		{"token/hit", "the token check by itself", tokenHitRow},
		{"open/sockets", "many open WebSockets", openRow(openSockets)},
		{"open/events", "many open event streams", openRow(openEvents)},
		{"open/uploads", "many long uploads", openRow(openUploads)},
		{"anon/401", "nobody signed in, a script", anonymousRow},
		{"anon/portal", "nobody signed in, a browser, with a portal", portalAnonymousRow},
		{"ask/http", "asking for a link, over HTTP", stepRow(asking(true), map[time.Duration]float64{0: 4, time.Millisecond: 12})},
		{"redeem", "following a link", stepRow(redeeming, map[time.Duration]float64{0: 4})},
		{"redeem/peers", "the same", peersRow},
		{"postgres", "the steps on PostgreSQL", postgresRow},
		{"growth", "operations on large databases", growthRow},
		{"sweep", "deleting what has expired", sweepRow},
		{"plateau", "file and memory over many flows", plateauRow},
		{"flood", "one address beyond its limit", floodRow},
		{"password", "password checks", passwordRow},
		{"whole", "the program", wholeRow},
		{"reload", "reloads", reloadRow},
		{"cold", "cold start", coldRow},
		{"sync", "what an answer waits for", syncRow},
		{"signin/flood", "many sign-ins with a password, little memory", signInFloodRow},
		{"signin/answers", "the time of each answer to a password", answersRow},
		{"enum/answers", "the time of each answer by which an address could be tried", enumRow},
	}
}
