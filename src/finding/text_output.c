#include "finding/text_output.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define LONGEST_SENTENCE_BYTES ((size_t)16 << 10)
#define LONGEST_PATH_BYTES     2048
#define NOTED_SHOWN            10 /* findings below the threshold in the short view */
#define GAPS_SHOWN             10

struct printer {
    FILE *out;
    bool colour;
};

static const char *colour_of(const struct printer *printer, enum km_verdict verdict)
{
    if (!printer->colour)
        return "";
    switch (verdict) {
    case KM_VERDICT_CLEAN:
        return "\033[32m";
    case KM_VERDICT_INCOMPLETE:
        return "\033[36m";
    case KM_VERDICT_SUSPICIOUS:
        return "\033[33m";
    case KM_VERDICT_MALICIOUS:
        return "\033[1;31m";
    }
    return "";
}

static const char *plain(const struct printer *printer)
{
    return printer->colour ? "\033[0m" : "";
}

static void print_escaped(const struct printer *printer, const char *text)
{
    char escaped[LONGEST_PATH_BYTES];
    km_text_escape(text, strlen(text), escaped, sizeof escaped);
    fputs(escaped, printer->out);
}

/* "6,948": thousands are easier to compare when they are apart. */
static void print_count(const struct printer *printer, uint64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            fputc(',', printer->out);
        fputc(digits[i], printer->out);
    }
}

static void print_layer(const struct printer *printer, const struct km_result *result, const struct km_subject *subject)
{
    if (subject->layer_index < 0 || !subject->layer)
        return;
    fprintf(printer->out, "      layer %" PRId64, subject->layer_index + 1);
    for (size_t i = 0; i < result->outcome.image_count; i++) {
        const struct km_image_info *image = &result->outcome.images[i];
        if (i == 0 || (image->name && subject->image && strcmp(image->name, subject->image) == 0)) {
            fprintf(printer->out, " of %" PRIu64, image->layers);
            break;
        }
    }
    fprintf(printer->out, ", %.19s", subject->layer);
    if (subject->layer_history) {
        fputs(": ", printer->out);
        print_escaped(printer, subject->layer_history);
    }
    fputc('\n', printer->out);
    if (subject->deleted_by)
        fprintf(printer->out, "      deleted by a later layer, %.19s; still in the image\n", subject->deleted_by);
    if (subject->replaced_by)
        fprintf(printer->out, "      replaced by a later layer, %.19s; still in the image\n", subject->replaced_by);
}

/* An archive's member may be called "", or "..", which is no name within the file system. */
static void print_path(const struct printer *printer, const char *path)
{
    print_escaped(printer, path && *path ? path : "(no name)");
}

static enum km_code print_evidence(const struct printer *printer, const struct km_finding *finding, struct km_err *err)
{
    struct km_buf sentence;
    km_buf_init(&sentence, LONGEST_SENTENCE_BYTES);
    enum km_code code = KM_OK;
    const char *advice = NULL;
    double strongest = 0;
    for (size_t i = 0; i < finding->evidence_count && code == KM_OK; i++) {
        const struct km_evidence *evidence = &finding->evidence[i];
        if (strcmp(evidence->id, KM_EVIDENCE_DELETED) == 0)
            continue; /* said with the layer */
        km_buf_clear(&sentence);
        code = km_evidence_format(evidence, &sentence, err);
        if (code == KM_OK)
            fprintf(printer->out, "      - %s (%+.1f)\n", km_buf_text(&sentence), evidence->weight);
        const char *own = km_evidence_advice(evidence->id);
        if (own && (!advice || evidence->weight > strongest)) {
            advice = own;
            strongest = evidence->weight;
        }
    }
    if (advice)
        fprintf(printer->out, "      what to do: %s\n", advice);
    km_buf_done(&sentence);
    return code;
}

static void print_decision(const struct printer *printer, const struct km_decision *decision)
{
    fprintf(printer->out, "      decided: %s by ", km_decision_kind_to_string(decision->kind));
    print_escaped(printer, decision->who);
    if (decision->until_wall_ns != INT64_MAX) {
        char until[KM_CLOCK_UTC_BYTES];
        km_clock_format_utc(decision->until_wall_ns - 1, until);
        fprintf(printer->out, ", until %.10s", until);
    }
    fputs(": ", printer->out);
    print_escaped(printer, decision->note);
    fputc('\n', printer->out);
}

static enum km_code print_finding(const struct printer *printer, const struct km_result *result,
                                  const struct km_finding *finding, struct km_err *err)
{
    bool noted = finding->verdict < KM_VERDICT_SUSPICIOUS;
    fprintf(printer->out, "\n  %s%-10s%s %.2f  ", noted ? "" : colour_of(printer, finding->verdict),
            noted ? "noted" : km_verdict_to_string(finding->verdict), noted ? "" : plain(printer), finding->score);
    print_path(printer, finding->subject.path);
    fputc('\n', printer->out);
    print_layer(printer, result, &finding->subject);
    if (finding->package) {
        fputs("      package ", printer->out);
        print_escaped(printer, finding->package);
        fputc('\n', printer->out);
    }
    if (finding->decision)
        print_decision(printer, finding->decision);
    return print_evidence(printer, finding, err);
}

/* One line each: what is below the threshold is a place to look at, not a thing to do. */
static void print_noted(const struct printer *printer, const struct km_result *result, size_t first)
{
    size_t count = result->finding_count - first;
    uint64_t more = result->outcome.findings_omitted;
    if (count + more == 0)
        return;
    fputs("\n  noted, below the threshold (--all explains each):\n", printer->out);
    for (size_t i = first; i < result->finding_count && i < first + NOTED_SHOWN; i++) {
        const struct km_finding *finding = &result->findings[i];
        fprintf(printer->out, "    %.2f  ", finding->score);
        print_path(printer, finding->subject.path);
        for (size_t k = 0; k < finding->evidence_count; k++)
            fprintf(printer->out, "%s%s", k ? ", " : "  (", finding->evidence[k].id);
        fputs(finding->evidence_count ? ")\n" : "\n", printer->out);
    }
    if (count > NOTED_SHOWN || more > 0) {
        fputs("    and ", printer->out);
        print_count(printer, (count > NOTED_SHOWN ? count - NOTED_SHOWN : 0) + more);
        fputs(" more\n", printer->out);
    }
}

static bool is_whole(const struct km_result *result)
{
    const struct km_coverage *coverage = &result->outcome.coverage;
    return coverage->gaps == 0 && coverage->bytes_examined == coverage->bytes_total && !result->outcome.error;
}

static void print_integrity(const struct printer *printer, const struct km_integrity *integrity, bool whole)
{
    static const char *const names[] = {" as shipped", " configuration", " without checksum", " changed", " unowned"};
    const uint64_t counts[] = {integrity->files_intact, integrity->files_configuration, integrity->files_unchecked,
                               integrity->files_changed, integrity->files_unowned};
    fputs("  packages  ", printer->out);
    if (strcmp(integrity->database, "none") == 0) {
        if (integrity->detail)
            print_escaped(printer, integrity->detail);
        else
            fputs(whole ? "no package database in the image" : "no package database in what was read", printer->out);
        fputs("; nothing to compare files with\n", printer->out);
        return;
    }
    if (strcmp(integrity->database, "unusable") == 0) {
        fputs("the package database cannot be used", printer->out);
        if (integrity->detail) {
            fputs(": ", printer->out);
            print_escaped(printer, integrity->detail);
        }
        fputc('\n', printer->out);
        return;
    }
    fprintf(printer->out, "%s, %" PRIu64 " packages; files: ", integrity->database, integrity->packages);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        fputs(i ? ", " : "", printer->out);
        print_count(printer, counts[i]);
        fputs(names[i], printer->out);
    }
    fprintf(printer->out, " (%" PRIu64 " of them executable)\n", integrity->executables_unowned);
}

static void print_image(const struct printer *printer, const struct km_image_info *image)
{
    fputs("  image     ", printer->out);
    print_escaped(printer, image->name ? image->name : image->digest ? image->digest : "(unnamed)");
    fprintf(printer->out, ", %" PRIu64 " layer%s", image->layers, image->layers == 1 ? "" : "s");
    if (image->platform) {
        fputs(", ", printer->out);
        print_escaped(printer, image->platform);
    }
    fputc('\n', printer->out);
}

/* Each with its own packages: a sum says nothing about any of them. */
static void print_images(const struct printer *printer, const struct km_result *result)
{
    const struct km_outcome *outcome = &result->outcome;
    for (size_t i = 0; i < outcome->image_count; i++) {
        const struct km_image_info *image = &outcome->images[i];
        bool bare = image->name && strcmp(image->name, result->target.name) == 0; /* a file system, not an image */
        if (!bare)
            print_image(printer, image);
        if (outcome->image_count > 1 && image->packages.database)
            print_integrity(printer, &image->packages, is_whole(result));
    }
    if (outcome->image_count <= 1 && outcome->integrity)
        print_integrity(printer, outcome->integrity, is_whole(result));
}

static void print_gap(const struct printer *printer, const struct km_gap *gap)
{
    char size[32] = "unknown size";
    if (gap->bytes != UINT64_MAX)
        km_text_format_bytes(gap->bytes, size, sizeof size);
    fprintf(printer->out, "    %s (%s)  ", km_gap_reason_to_string(gap->reason), size);
    print_escaped(printer, gap->where && *gap->where ? gap->where : "the source");
    if (gap->offset != UINT64_MAX && gap->offset > 0)
        fprintf(printer->out, " at byte %" PRIu64, gap->offset);
    if (gap->detail)
        fprintf(printer->out, ": %s", gap->detail);
    fputc('\n', printer->out);
}

/* The share, the bytes and the files: what was examined of what the headers list. */
static void print_examined(const struct printer *printer, const struct km_coverage *coverage, bool whole)
{
    char examined[32], total[32];
    km_text_format_bytes(coverage->bytes_examined, examined, sizeof examined);
    km_text_format_bytes(coverage->bytes_total, total, sizeof total);
    double share =
        coverage->bytes_total > 0 ? 100.0 * (double)coverage->bytes_examined / (double)coverage->bytes_total : 100;
    /* 99.99 % must not read as everything, nor must the whole of what a damaged input still lists. */
    if (share > 99.9 && !whole)
        share = 99.9;
    fprintf(printer->out, "%.1f %%: %s of %s in ", share, examined, total);
    print_count(printer, coverage->files_examined);
    fputs(" of ", printer->out);
    print_count(printer, coverage->files_total);
    fputs(" files", printer->out);
    if (coverage->bytes_opaque > 0) {
        km_text_format_bytes(coverage->bytes_opaque, total, sizeof total);
        fprintf(printer->out, ", %s opaque", total);
    }
}

static void print_coverage(const struct printer *printer, const struct km_result *result)
{
    const struct km_coverage *coverage = &result->outcome.coverage;
    bool whole = is_whole(result);
    fputs("  coverage  ", printer->out);
    if (coverage->files_total == 0 && !whole)
        fputs("nothing was examined", printer->out);
    else
        print_examined(printer, coverage, whole);
    if (coverage->gaps == 0) {
        fputs(whole ? "; no gaps\n" : "\n", printer->out);
        return;
    }
    fprintf(printer->out, "; %" PRIu64 " gap%s:\n", coverage->gaps, coverage->gaps == 1 ? "" : "s");
    for (size_t i = 0; i < result->gap_count && i < GAPS_SHOWN; i++)
        print_gap(printer, &result->gaps[i]);
    if (coverage->gaps > GAPS_SHOWN)
        fprintf(printer->out, "    and %" PRIu64 " more\n", coverage->gaps - GAPS_SHOWN);
}

static void print_expectation(const struct printer *printer, const struct km_outcome *outcome)
{
    const struct km_expectation *expectation = outcome->expectation;
    if (outcome->versions.model) {
        fputs("  model     ", printer->out);
        print_escaped(printer, outcome->versions.model);
        fputc('\n', printer->out);
    }
    if (!expectation) {
        if (outcome->versions.model)
            fputs("  alarms    not calibrated: how many of them are false is not known\n", printer->out);
        return;
    }
    double programs = (double)expectation->programs;
    fputs("  alarms    of ", printer->out);
    print_count(printer, expectation->programs);
    fprintf(printer->out,
            " program%s, %.2g false ones expected (95 %%: %.2g to %.2g) if they are like the calibration's: %" PRIu64
            " of %" PRIu64 ": ",
            expectation->programs == 1 ? "" : "s", programs * expectation->rate, programs * expectation->low,
            programs * expectation->high, expectation->above, expectation->negatives);
    print_escaped(printer, expectation->set);
    fputc('\n', printer->out);
}

static enum km_code print_result(const struct printer *printer, const struct km_text_options *options,
                                 const struct km_result *result, struct km_err *err)
{
    print_escaped(printer, result->target.name);
    fputc('\n', printer->out);
    size_t i = 0;
    while (i < result->finding_count && (options->show_all || result->findings[i].verdict >= KM_VERDICT_SUSPICIOUS)) {
        enum km_code code = print_finding(printer, result, &result->findings[i], err);
        if (code != KM_OK)
            return code;
        i++;
    }
    print_noted(printer, result, i);
    fputc('\n', printer->out);
    print_images(printer, result);
    print_coverage(printer, result);
    print_expectation(printer, &result->outcome);
    if (result->outcome.error)
        fprintf(printer->out, "  error     %s\n", result->outcome.error->text);
    char time[32];
    km_text_format_seconds(result->outcome.seconds, time, sizeof time);
    fprintf(printer->out, "  verdict   %s%s%s, score %.2f (%s)\n\n", colour_of(printer, result->outcome.verdict),
            km_verdict_to_string(result->outcome.verdict), plain(printer), result->outcome.score, time);
    return KM_OK;
}

enum km_code km_text_output_print(const struct km_results *results, const struct km_text_options *options, FILE *out,
                                  struct km_err *err)
{
    struct printer printer = {out, options->colour};
    for (size_t i = 0; i < km_results_count(results); i++) {
        enum km_code code = print_result(&printer, options, km_results_get(results, i), err);
        if (code != KM_OK)
            return code;
    }
    if (fflush(out) != 0 || ferror(out))
        return km_fail_errno(err, errno, "cannot write the results");
    return KM_OK;
}
