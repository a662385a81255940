#include "cli/desk_link.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "desk/store/audit_chain.h"
#include "desk/store/privacy.h"
#include "desk/triage/decide.h"
#include "desk/triage/triage.h"

struct km_desk_link {
    char command[32];
    struct km_desk *desk;
    struct km_recorder *recorder;
    struct km_decide_source *source;
    struct km_sink first, second;
    struct km_alert_sink alerted_first;
    struct km_decisions decisions, asked_first;
};

void km_desk_link_who(char *out)
{
    const char *sudo = geteuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *user = getpwuid(geteuid()); /* commands have one thread at this point */
    if (sudo && *sudo)
        snprintf(out, KM_DESK_LINK_NAME_BYTES, "%s", sudo);
    else if (user)
        snprintf(out, KM_DESK_LINK_NAME_BYTES, "%s", user->pw_name);
    else
        snprintf(out, KM_DESK_LINK_NAME_BYTES, "uid %u", (unsigned)geteuid());
}

void km_desk_link_host(char *out)
{
    if (gethostname(out, KM_DESK_LINK_NAME_BYTES) != 0)
        snprintf(out, KM_DESK_LINK_NAME_BYTES, "localhost");
    out[KM_DESK_LINK_NAME_BYTES - 1] = '\0';
}

struct km_desk *km_desk_link_store(const char *command, const char *named, enum km_desk_place *out_place,
                                   struct km_err *err)
{
    char path[KM_DESK_PATH_BYTES], shown[KM_DESK_PATH_BYTES];
    if (km_desk_find_place(named, path, out_place, err) != KM_OK)
        return NULL;
    struct km_desk *desk = km_desk_open(path, err);
    if (!desk)
        return NULL;
    struct km_err cause = KM_ERR_INIT;
    int64_t expired = 0;
    (void)km_text_escape(path, strlen(path), shown, sizeof shown);
    fprintf(stderr, "komainu: %s: store %s (%s)\n", command, shown, km_desk_place_to_string(*out_place));
    if (km_privacy_enforce(desk, km_clock_wall_ns(), false, &expired, &cause) != KM_OK)
        fprintf(stderr, "komainu: %s: old data could not be removed: %s\n", command, cause.text);
    return desk;
}

static void on_notice(void *context, const struct km_err *cause)
{
    const struct km_desk_link *link = context;
    if (cause)
        fprintf(stderr, "komainu: %s: cannot record: %s; findings wait\n", link->command, cause->text);
    else
        fprintf(stderr, "komainu: %s: recording again; nothing that waited was lost\n", link->command);
}

static void link_free(struct km_desk_link *link)
{
    struct km_err ignored = KM_ERR_INIT;
    if (!link)
        return;
    km_recorder_free(link->recorder);
    if (link->source && km_decide_close(link->source, &ignored) != KM_OK)
        fprintf(stderr, "komainu: %s: %s\n", link->command, ignored.text);
    km_desk_close(link->desk);
    free(link);
}
KM_DEFINE_CLEANUP(struct km_desk_link, link_cleanup, link_free);

struct km_desk_link *km_desk_link_open(const struct km_desk_link_options *options, struct km_err *err)
{
    struct km_desk_link *link KM_CLEANUP(link_cleanup) = km_calloc(1, sizeof *link, SIZE_MAX, err);
    char who[KM_DESK_LINK_NAME_BYTES], host[KM_DESK_LINK_NAME_BYTES];
    enum km_desk_place place;
    if (!link)
        return NULL;
    snprintf(link->command, sizeof link->command, "%s", options->command);
    link->desk = km_desk_link_store(options->command, options->store, &place, err);
    if (!link->desk)
        return NULL;
    km_desk_link_who(who);
    km_desk_link_host(host);
    const struct km_recorder_options recorder_options = {.kind = options->command,
                                                         .who = who,
                                                         .host = host,
                                                         .versions = options->versions,
                                                         .context = link,
                                                         .notice = on_notice};
    link->recorder = km_recorder_new(link->desk, &recorder_options, err);
    if (!link->recorder)
        return NULL;
    link->source = km_decide_open(link->desk, options->command, host, err);
    return link->source ? km_steal(link) : NULL;
}

struct km_recorder *km_desk_link_recorder(struct km_desk_link *link)
{
    return link->recorder;
}

struct km_desk *km_desk_link_desk(struct km_desk_link *link)
{
    return link->desk;
}

static enum km_code add_entry(struct km_desk *desk, const char *action, const char *object,
                              const struct km_json *detail, struct km_err *err)
{
    char who[KM_DESK_LINK_NAME_BYTES];
    km_desk_link_who(who);
    enum km_code code = km_desk_begin(desk, err);
    if (code != KM_OK)
        return code;
    code = km_audit_add(desk, who, action, object, detail, err);
    if (code == KM_OK)
        return km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

void km_desk_link_audit(const char *command, const char *action, const char *object, const struct km_json *detail)
{
    struct km_err err = KM_ERR_INIT;
    enum km_desk_place place;
    if (!km_desk_is_there())
        return;
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = km_desk_link_store(command, NULL, &place, &err);
    if (!desk || add_entry(desk, action, object, detail, &err) != KM_OK)
        fprintf(stderr, "komainu: %s: done, and not in the audit log: %s\n", command, err.text);
}

/* ---- the tee ---- */

static enum km_code tee_begin(void *context, const struct km_target *target, struct km_err *err)
{
    struct km_desk_link *link = context;
    enum km_code code = link->first.target_begin(link->first.context, target, err);
    return code == KM_OK ? link->second.target_begin(link->second.context, target, err) : code;
}

static enum km_code tee_finding(void *context, const struct km_finding *finding, struct km_err *err)
{
    struct km_desk_link *link = context;
    enum km_code code = link->first.finding(link->first.context, finding, err);
    return code == KM_OK ? link->second.finding(link->second.context, finding, err) : code;
}

static enum km_code tee_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct km_desk_link *link = context;
    enum km_code code = link->first.gap(link->first.context, gap, err);
    return code == KM_OK ? link->second.gap(link->second.context, gap, err) : code;
}

static enum km_code tee_end(void *context, const struct km_outcome *outcome, struct km_err *err)
{
    struct km_desk_link *link = context;
    enum km_code code = link->first.target_end(link->first.context, outcome, err);
    return code == KM_OK ? link->second.target_end(link->second.context, outcome, err) : code;
}

struct km_sink km_desk_link_tee(struct km_desk_link *link, const struct km_sink *first)
{
    link->first = *first;
    link->second = km_recorder_sink(link->recorder);
    return (struct km_sink){link, tee_begin, tee_finding, tee_gap, tee_end};
}

static enum km_code tee_alert(void *context, const struct km_alert *alert, struct km_err *err)
{
    struct km_desk_link *link = context;
    enum km_code code =
        link->alerted_first.alert ? link->alerted_first.alert(link->alerted_first.context, alert, err) : KM_OK;
    return code == KM_OK ? link->second.finding(link->second.context, alert->finding, err) : code;
}

struct km_alert_sink km_desk_link_alerts(struct km_desk_link *link, const struct km_alert_sink *first)
{
    link->alerted_first = first ? *first : (struct km_alert_sink){0};
    link->second = km_recorder_sink(link->recorder);
    return (struct km_alert_sink){link, tee_alert};
}

static const struct km_decision *find(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    const struct km_desk_link *link = context;
    const struct km_decision *decision =
        link->asked_first.find ? link->asked_first.find(link->asked_first.context, finding, now_wall_ns) : NULL;
    return decision ? decision : link->decisions.find(link->decisions.context, finding, now_wall_ns);
}

struct km_decisions km_desk_link_decisions(struct km_desk_link *link, const struct km_decisions *first)
{
    link->asked_first = first ? *first : (struct km_decisions){0};
    link->decisions = km_decide_decisions(link->source);
    return (struct km_decisions){link, find};
}

/* ---- the end ---- */

static void say_new(const struct km_desk_link *link, const struct km_triage_report *report)
{
    char path[KM_DESK_PATH_BYTES];
    const char *raw = km_desk_path(link->desk);
    if (report->begun == 0)
        return;
    (void)km_text_escape(raw, strlen(raw), path, sizeof path);
    fprintf(stderr, "komainu: %s: %lld new incident%s in %s; 'komainu alerts list' shows %s\n", link->command,
            (long long)report->begun, report->begun == 1 ? "" : "s", path, report->begun == 1 ? "it" : "them");
}

bool km_desk_link_finish(struct km_desk_link *link)
{
    struct km_err err = KM_ERR_INIT;
    struct km_triage_report report = {0};
    if (!link)
        return true;
    enum km_code code = km_recorder_finish(link->recorder, &err);
    if (code == KM_OK) {
        code = km_decide_close(link->source, &err);
        link->source = NULL;
    }
    if (code == KM_OK)
        code = km_triage_run(link->desk, km_clock_wall_ns(), &report, &err);
    if (code == KM_OK)
        say_new(link, &report);
    else
        fprintf(stderr, "komainu: %s: cannot record: %s; %llu findings are not in the store\n", link->command, err.text,
                (unsigned long long)km_recorder_count(link->recorder).waiting);
    link_free(link);
    return code == KM_OK;
}
