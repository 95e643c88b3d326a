// Package postgres is the metastore in Postgres 13 or newer: a server of one's
// own, RDS, Aurora, Cloud SQL, with or without PgBouncer in transaction mode.
//
// It does: keep the journals, terms and snapshots' places of a cluster in one
// schema, each call of metastore.Store being one statement (a forced end of a term:
// two); migrate the schema
// when it opens it.
//
// It does not: retry, cancel or time out an append; listen, notify, or keep a
// transaction open across a round trip while rows are locked.
//
// Invariants: versions are gapless, since an append locks its journals' rows in
// order and reads the heads after that; a term's end waits for its appends (I4);
// no call scans what grows with history (I9); what is acknowledged or read is on the
// synchronous standby, if there is one; what was seen of one server is no evidence of
// another. migrations/0001_journals.sql has the
// reasons beside the statements; ../SCHEMA.md tells the tables.
//
// On failure: what the server refused is an error of the metastore package; after
// any other error the outcome is unknown to the caller, also after a commit that the
// server stopped waiting for. A broken connection empties
// its pool, so that a server's restart costs one failed call, not one a connection.
//
// Start reading at Open, then Store.Append; for fail-overs at server.go.
package postgres
