#include "desk/store/schema.h"

/* Times are nanoseconds since 1970 (UTC), texts from outside are raw bytes, verdicts and decision kinds are the numbers
 * of finding/. What a row means in words is in docs/formats/store.md. */

/* Findings and what is done about them. AUTOINCREMENT where an id leaves the store: it must not come back after a
 * deletion with another meaning. */
static const char step_1[] =
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
    "CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,"
    " host TEXT NOT NULL, who TEXT NOT NULL, began_ns INTEGER NOT NULL, ended_ns INTEGER, komainu TEXT, rules TEXT,"
    " model TEXT, cpu_ms INTEGER, memory_peak_bytes INTEGER) STRICT;"
    "CREATE TABLE target(id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES run ON DELETE "
    "CASCADE,"
    " seq INTEGER NOT NULL, name TEXT NOT NULL, scheme TEXT, began_ns INTEGER NOT NULL, ended_ns INTEGER,"
    " verdict INTEGER, score REAL, bytes_total INTEGER, bytes_examined INTEGER, bytes_opaque INTEGER,"
    " files_total INTEGER, files_examined INTEGER, gaps INTEGER, findings_omitted INTEGER, integrity TEXT, images TEXT,"
    " error TEXT, seconds REAL, cpu_ms INTEGER, UNIQUE(run_id, seq)) STRICT;"
    "CREATE TABLE incident(id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, kind TEXT NOT NULL,"
    " host TEXT NOT NULL, subject TEXT NOT NULL, role TEXT, image TEXT, content TEXT, dominant TEXT NOT NULL, first_ns "
    "INTEGER NOT NULL,"
    " last_ns INTEGER NOT NULL, count INTEGER NOT NULL, verdict INTEGER NOT NULL, score REAL NOT NULL,"
    " confidence REAL NOT NULL, finding_id INTEGER, origin INTEGER NOT NULL DEFAULT 0,"
    " state INTEGER NOT NULL DEFAULT 0, assignee TEXT, minutes REAL NOT NULL DEFAULT 0, service TEXT,"
    " importance REAL NOT NULL DEFAULT 1, reach REAL NOT NULL DEFAULT 1, patch_window REAL NOT NULL DEFAULT 1,"
    " priority REAL NOT NULL DEFAULT 0, shown INTEGER NOT NULL DEFAULT 0, shown_ns INTEGER, first_decided_ns INTEGER,"
    " decided_ns INTEGER, decision_kind INTEGER, suppression_id INTEGER REFERENCES suppression ON DELETE SET NULL,"
    " returned_ns INTEGER, opened_ns INTEGER NOT NULL, closed_ns INTEGER) STRICT;"
    "CREATE INDEX incident_key ON incident(key, last_ns);"
    "CREATE INDEX incident_content ON incident(content, last_ns) WHERE content IS NOT NULL;"
    "CREATE INDEX incident_day ON incident(host, first_ns);"
    "CREATE TABLE incident_image(incident_id INTEGER NOT NULL REFERENCES incident ON DELETE CASCADE,"
    " image TEXT NOT NULL, PRIMARY KEY(incident_id, image)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX incident_list ON incident(state, shown, priority);"
    "CREATE INDEX incident_last ON incident(last_ns);"
    "CREATE TABLE finding(id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES run ON DELETE "
    "CASCADE,"
    " seq INTEGER NOT NULL, target_id INTEGER REFERENCES target ON DELETE CASCADE, at_ns INTEGER NOT NULL,"
    " kind TEXT NOT NULL, image TEXT, path TEXT, layer TEXT, layer_index INTEGER, sha256 TEXT, size_bytes INTEGER,"
    " unit TEXT, role TEXT, subject_more TEXT, verdict INTEGER NOT NULL, score REAL NOT NULL, confidence REAL NOT NULL,"
    " package TEXT, ranges TEXT, evidence TEXT NOT NULL, dominant TEXT NOT NULL, decision_kind INTEGER,"
    " origin INTEGER NOT NULL DEFAULT 0, incident_id INTEGER REFERENCES incident ON DELETE SET NULL,"
    " grouped INTEGER NOT NULL DEFAULT 0, UNIQUE(run_id, seq)) STRICT;"
    "CREATE INDEX finding_incident ON finding(incident_id) WHERE incident_id IS NOT NULL;"
    "CREATE INDEX finding_time ON finding(at_ns);"
    "CREATE INDEX finding_target ON finding(target_id);"
    "CREATE INDEX finding_waiting ON finding(id) WHERE grouped=0;"
    "CREATE INDEX finding_uncertain ON finding(score) WHERE verdict<2 AND score>=0.3 AND incident_id IS NULL;"
    "CREATE TABLE gap(id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " target_id INTEGER NOT NULL REFERENCES target ON DELETE CASCADE, reason INTEGER NOT NULL, place TEXT NOT NULL,"
    " layer TEXT, offset INTEGER, bytes INTEGER, detail TEXT, UNIQUE(run_id, seq)) STRICT;"
    "CREATE INDEX gap_target ON gap(target_id);"
    "CREATE TABLE loss(id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    " at_ns INTEGER NOT NULL, what TEXT NOT NULL, unit TEXT, lost INTEGER NOT NULL, seen INTEGER) STRICT;"
    "CREATE INDEX loss_time ON loss(at_ns);"
    "CREATE TABLE health(id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    " at_ns INTEGER NOT NULL, name TEXT NOT NULL, value REAL, text TEXT) STRICT;"
    "CREATE INDEX health_time ON health(at_ns);"
    "CREATE TABLE watch(id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    " unit TEXT NOT NULL, role TEXT NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,"
    " mature INTEGER NOT NULL, confidence REAL NOT NULL, episodes INTEGER NOT NULL, tapped INTEGER NOT NULL) STRICT;"
    "CREATE INDEX watch_time ON watch(to_ns);"
    "CREATE TABLE component(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, version TEXT, digest TEXT,"
    " made_ns INTEGER, from_ns INTEGER NOT NULL, to_ns INTEGER) STRICT;"
    "CREATE INDEX component_name ON component(kind, name, to_ns);"
    "CREATE TABLE decision(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " incident_id INTEGER REFERENCES incident ON DELETE SET NULL, kind INTEGER NOT NULL, who TEXT NOT NULL,"
    " note TEXT NOT NULL, at_ns INTEGER NOT NULL, until_ns INTEGER, guardian TEXT NOT NULL, host TEXT NOT NULL,"
    " unit TEXT, role TEXT, image TEXT, path TEXT, sha256 TEXT, dominant TEXT, alarm TEXT, applied_ns INTEGER,"
    " applied_by TEXT, applied_error TEXT, undone_ns INTEGER, undone_by TEXT, undone_note TEXT,"
    " undo_applied_ns INTEGER, before TEXT) STRICT;"
    "CREATE INDEX decision_incident ON decision(incident_id);"
    "CREATE INDEX decision_path ON decision(path) WHERE undone_ns IS NULL;"
    "CREATE INDEX decision_content ON decision(sha256) WHERE undone_ns IS NULL;"
    "CREATE INDEX decision_unit ON decision(unit, role) WHERE undone_ns IS NULL;"
    "CREATE TABLE suppression(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, host TEXT, unit TEXT, role TEXT,"
    " image TEXT, path TEXT, sha256 TEXT, evidence TEXT, reason TEXT NOT NULL, owner TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, ended_ns INTEGER, ended_by TEXT,"
    " hidden INTEGER NOT NULL DEFAULT 0, last_hidden_ns INTEGER, reviewed_ns INTEGER) STRICT;"
    "CREATE INDEX suppression_open ON suppression(expires_ns) WHERE ended_ns IS NULL;";

/* The audit log. */
static const char step_2[] =
    "CREATE TABLE audit(id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,"
    " object TEXT NOT NULL, detail_digest BLOB, previous BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_detail(audit_id INTEGER PRIMARY KEY REFERENCES audit, salt BLOB NOT NULL,"
    " text TEXT NOT NULL) STRICT;"
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;"
    "CREATE TRIGGER audit_detail_no_update BEFORE UPDATE ON audit_detail"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;"
    /* What an entry says is erased may go: the newest entry, for it is written in the same transaction before. */
    "CREATE TRIGGER audit_detail_no_delete BEFORE DELETE ON audit_detail"
    " WHEN (SELECT action FROM audit ORDER BY id DESC LIMIT 1) IS NOT 'privacy.erase'"
    " BEGIN SELECT RAISE(ABORT, 'a detail is erased only by an entry that says so'); END;";

/* Search over findings (kept up by record_row.c and privacy.c: with an untrusted schema no trigger may write to the
 * index), and what a pilot needs: stages, the operators' answers, the user's numbers. */
static const char step_3[] =
    "CREATE VIRTUAL TABLE finding_words USING fts5(image, path, unit, package, dominant, sha256, verdict, "
    "content='finding',"
    " content_rowid='id', tokenize=\"unicode61 remove_diacritics 0\", prefix='2 3');"
    "INSERT INTO finding_words(finding_words) VALUES('rebuild');"
    "CREATE TABLE scope(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL) STRICT;"
    "CREATE TABLE scope_member(scope_id INTEGER NOT NULL REFERENCES scope ON DELETE CASCADE, kind TEXT NOT NULL,"
    " pattern TEXT NOT NULL, PRIMARY KEY(scope_id, kind, pattern)) STRICT;"
    "CREATE TABLE stage(id INTEGER PRIMARY KEY AUTOINCREMENT, scope_id INTEGER NOT NULL REFERENCES scope ON DELETE"
    " CASCADE, stage INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER, who TEXT NOT NULL, note TEXT NOT NULL,"
    " criteria TEXT, checked TEXT) STRICT;"
    "CREATE TABLE survey(id INTEGER PRIMARY KEY AUTOINCREMENT, scope_id INTEGER REFERENCES scope ON DELETE CASCADE,"
    " stage INTEGER, at_ns INTEGER NOT NULL, who TEXT, answer_1 INTEGER, answer_2 INTEGER, answer_3 INTEGER,"
    " answer_4 INTEGER, answer_5 INTEGER, note TEXT) STRICT;"
    "CREATE TABLE economy(name TEXT PRIMARY KEY, low REAL NOT NULL, value REAL NOT NULL, high REAL NOT NULL, unit TEXT,"
    " at_ns INTEGER NOT NULL, who TEXT NOT NULL) STRICT;";

/* What waits to be ranked is found without walking all open incidents; what came back from a suppression takes its
 * place in the budget of the day on which it did; what a suppression hides is listed. */
static const char step_4[] =
    "CREATE INDEX incident_waiting ON incident(priority DESC, id) WHERE shown=0;"
    "CREATE INDEX incident_returned ON incident(host, returned_ns) WHERE returned_ns IS NOT NULL;"
    "CREATE INDEX incident_suppression ON incident(suppression_id) WHERE suppression_id IS NOT NULL;";

/* What was strange about a daemon, as keys that decisions are compared by. Who decided before that spoke of what the
 * evidence names; where it names nothing, nobody can tell what was meant. */
static const char step_5[] = "ALTER TABLE finding ADD COLUMN strange TEXT;"
                             "ALTER TABLE decision ADD COLUMN strange TEXT;"
                             "UPDATE decision SET strange='named' WHERE unit IS NOT NULL AND instr(dominant, ' ')>0;";

static const char *const steps[] = {step_1, step_2, step_3, step_4, step_5};

const char *km_schema_step(unsigned number)
{
    return number >= 1 && number <= km_schema_newest() ? steps[number - 1] : NULL;
}

unsigned km_schema_newest(void)
{
    return (unsigned)(sizeof steps / sizeof steps[0]);
}
