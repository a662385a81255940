/* What a guardian reports besides findings: losses, health, watched time, what it works with. */
#include "base/clock.h"
#include "desk/store/query.h"
#include "desk/store/recorder.h"

enum km_code km_recorder_add_loss(struct km_recorder *recorder, const char *what, const char *unit, uint64_t lost,
                                  uint64_t seen, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(km_recorder_desk(recorder),
                      "INSERT INTO loss(run_id, at_ns, what, unit, lost, seen) VALUES(?1, ?2, ?3, ?4, ?5, ?6)", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, km_recorder_run(recorder));
    km_query_bind_integer(query, 2, km_clock_wall_ns());
    km_query_bind_text(query, 3, what);
    km_query_bind_text(query, 4, unit);
    km_query_bind_integer(query, 5, (int64_t)lost);
    km_query_bind_integer(query, 6, (int64_t)seen);
    return km_query_run(query, err);
}

enum km_code km_recorder_add_health(struct km_recorder *recorder, const char *name, double value, const char *text,
                                    struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(km_recorder_desk(recorder),
                      "INSERT INTO health(run_id, at_ns, name, value, text) VALUES(?1, ?2, ?3, ?4, ?5)", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, km_recorder_run(recorder));
    km_query_bind_integer(query, 2, km_clock_wall_ns());
    km_query_bind_text(query, 3, name);
    km_query_bind_real(query, 4, value);
    km_query_bind_text(query, 5, text);
    return km_query_run(query, err);
}

enum km_code km_recorder_add_watch(struct km_recorder *recorder, const struct km_watch *watch, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(km_recorder_desk(recorder),
                      "INSERT INTO watch(run_id, unit, role, from_ns, to_ns, mature, confidence, episodes, tapped)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, km_recorder_run(recorder));
    km_query_bind_text(query, 2, watch->unit);
    km_query_bind_text(query, 3, watch->role);
    km_query_bind_integer(query, 4, watch->from_ns);
    km_query_bind_integer(query, 5, watch->to_ns);
    km_query_bind_integer(query, 6, watch->mature);
    km_query_bind_real(query, 7, watch->confidence);
    km_query_bind_integer(query, 8, (int64_t)watch->episodes);
    km_query_bind_integer(query, 9, (int64_t)watch->tapped);
    return km_query_run(query, err);
}

/* 1 in *out: the newest of this kind and name has the same digest and version. */
static enum km_code is_in_force(struct km_desk *desk, const struct km_component *component, bool *out,
                                struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "SELECT 1 FROM component WHERE kind=?1 AND name=?2 AND to_ns IS NULL AND digest IS ?3"
                      " AND version IS ?4",
                      err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, component->kind);
    km_query_bind_text(query, 2, component->name);
    km_query_bind_text(query, 3, component->digest);
    km_query_bind_text(query, 4, component->version);
    return km_query_step(query, out, err);
}

static enum km_code end_component(struct km_desk *desk, const struct km_component *component, int64_t now,
                                  struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE component SET to_ns=?3 WHERE kind=?1 AND name=?2 AND to_ns IS NULL", err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, component->kind);
    km_query_bind_text(query, 2, component->name);
    km_query_bind_integer(query, 3, now);
    return km_query_run(query, err);
}

static enum km_code begin_component(struct km_desk *desk, const struct km_component *component, int64_t now,
                                    struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO component(kind, name, version, digest, made_ns, from_ns)"
                      " VALUES(?1, ?2, ?3, ?4, nullif(?5, 0), ?6)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, component->kind);
    km_query_bind_text(query, 2, component->name);
    km_query_bind_text(query, 3, component->version);
    km_query_bind_text(query, 4, component->digest);
    km_query_bind_integer(query, 5, component->made_ns);
    km_query_bind_integer(query, 6, now);
    return km_query_run(query, err);
}

enum km_code km_recorder_add_component(struct km_recorder *recorder, const struct km_component *component,
                                       struct km_err *err)
{
    struct km_desk *desk = km_recorder_desk(recorder);
    bool own = !km_desk_in_transaction(desk), same = false;
    int64_t now = km_clock_wall_ns();
    enum km_code code = own ? km_desk_begin(desk, err) : KM_OK;
    if (code == KM_OK)
        code = is_in_force(desk, component, &same, err);
    if (code == KM_OK && !same)
        code = end_component(desk, component, now, err);
    if (code == KM_OK && !same)
        code = begin_component(desk, component, now, err);
    if (own && code == KM_OK)
        code = km_desk_commit(desk, err);
    if (own && code != KM_OK)
        km_desk_rollback(desk);
    return code;
}
