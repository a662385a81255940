#include "finding/text_output.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define LONGEST_SENTENCE_BYTES ((size_t)16 << 10)
#define LONGEST_PATH_BYTES     2048
#define NOTED_SHOWN            10 /* findings below the threshold in the short view */
#define GAPS_SHOWN             10
#define COUNT_BYTES            40 /* of a number with its commas */
#define LABEL_COLUMNS          10
#define VERDICT_COLUMNS        10
#define LONGEST_PHRASE_BYTES   256

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
static const char *format_count(uint64_t count, char *out)
{
    char digits[COUNT_BYTES];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *at = out;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

static void print_more(const struct printer *printer, uint64_t count)
{
    char number[COUNT_BYTES], phrase[LONGEST_PHRASE_BYTES];
    km_words_format(phrase, sizeof phrase, "and {n} more", "n", format_count(count, number), NULL);
    fprintf(printer->out, "    %s\n", phrase);
}

/* A label with its value behind it, on a line of the summary. */
static void print_label(const struct printer *printer, const char *english)
{
    const char *label = km_words(english);
    size_t columns = km_text_columns(label);
    fprintf(printer->out, "  %s%*s", label, columns < LABEL_COLUMNS ? (int)(LABEL_COLUMNS - columns) : 1, "");
}

static void print_gone(const struct printer *printer, const char *english, const char *by)
{
    char layer[20], phrase[LONGEST_PHRASE_BYTES];
    snprintf(layer, sizeof layer, "%s", by);
    km_words_format(phrase, sizeof phrase, english, "layer", layer, NULL);
    fprintf(printer->out, "      %s\n", phrase);
}

static void print_layer(const struct printer *printer, const struct km_result *result, const struct km_subject *subject)
{
    if (subject->layer_index < 0 || !subject->layer)
        return;
    char number[32], count[32] = "?", phrase[LONGEST_PHRASE_BYTES];
    snprintf(number, sizeof number, "%" PRId64, subject->layer_index + 1);
    for (size_t i = 0; i < result->outcome.image_count; i++) {
        const struct km_image_info *image = &result->outcome.images[i];
        if (i == 0 || (image->name && subject->image && strcmp(image->name, subject->image) == 0)) {
            snprintf(count, sizeof count, "%" PRIu64, image->layers);
            break;
        }
    }
    km_words_format(phrase, sizeof phrase, "layer {n} of {count}", "n", number, "count", count, NULL);
    fprintf(printer->out, "      %s, %.19s", phrase, subject->layer);
    if (subject->layer_history) {
        fputs(": ", printer->out);
        print_escaped(printer, subject->layer_history);
    }
    fputc('\n', printer->out);
    if (subject->deleted_by)
        print_gone(printer, "deleted by a later layer, {layer}; still in the image", subject->deleted_by);
    if (subject->replaced_by)
        print_gone(printer, "replaced by a later layer, {layer}; still in the image", subject->replaced_by);
}

/* An archive's member may be called "", or "..", which is no name within the file system. */
static void print_path(const struct printer *printer, const char *path)
{
    print_escaped(printer, path && *path ? path : km_words("(no name)"));
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
        fprintf(printer->out, "      %s%s\n", km_words("what to do: "), advice);
    km_buf_done(&sentence);
    return code;
}

static void print_decision(const struct printer *printer, const struct km_decision *decision)
{
    char who[LONGEST_PATH_BYTES / 2], until[KM_CLOCK_UTC_BYTES], phrase[LONGEST_PATH_BYTES];
    bool ends = decision->until_wall_ns != INT64_MAX;
    (void)km_text_escape(decision->who, strlen(decision->who), who, sizeof who);
    if (ends)
        km_clock_format_utc(decision->until_wall_ns - 1, until);
    until[ends ? sizeof "2026-11-22" - 1 : 0] = '\0';
    km_words_format(phrase, sizeof phrase,
                    ends ? "decided: {kind} by {who}, until {until}: " : "decided: {kind} by {who}: ", "kind",
                    km_words(km_decision_kind_to_string(decision->kind)), "who", who, "until", until, NULL);
    fprintf(printer->out, "      %s", phrase);
    print_escaped(printer, decision->note);
    fputc('\n', printer->out);
}

static enum km_code print_finding(const struct printer *printer, const struct km_result *result,
                                  const struct km_finding *finding, struct km_err *err)
{
    bool noted = finding->verdict < KM_VERDICT_SUSPICIOUS;
    const char *verdict = km_words(noted ? "noted" : km_verdict_to_string(finding->verdict));
    size_t columns = km_text_columns(verdict);
    fprintf(printer->out, "\n  %s%s%*s%s %.2f  ", noted ? "" : colour_of(printer, finding->verdict), verdict,
            columns < VERDICT_COLUMNS ? (int)(VERDICT_COLUMNS - columns) : 0, "", noted ? "" : plain(printer),
            finding->score);
    print_path(printer, finding->subject.path);
    fputc('\n', printer->out);
    print_layer(printer, result, &finding->subject);
    if (finding->package) {
        fprintf(printer->out, "      %s ", km_words("package"));
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
    fprintf(printer->out, "\n  %s\n", km_words("noted, below the threshold (--all explains each):"));
    for (size_t i = first; i < result->finding_count && i < first + NOTED_SHOWN; i++) {
        const struct km_finding *finding = &result->findings[i];
        fprintf(printer->out, "    %.2f  ", finding->score);
        print_path(printer, finding->subject.path);
        for (size_t k = 0; k < finding->evidence_count; k++)
            fprintf(printer->out, "%s%s", k ? ", " : "  (", finding->evidence[k].id);
        fputs(finding->evidence_count ? ")\n" : "\n", printer->out);
    }
    if (count > NOTED_SHOWN || more > 0) {
        print_more(printer, (count > NOTED_SHOWN ? count - NOTED_SHOWN : 0) + more);
    }
}

static bool is_whole(const struct km_result *result)
{
    const struct km_coverage *coverage = &result->outcome.coverage;
    return coverage->gaps == 0 && coverage->bytes_examined == coverage->bytes_total && !result->outcome.error;
}

static void print_integrity(const struct printer *printer, const struct km_integrity *integrity, bool whole)
{
    char packages[COUNT_BYTES], counts[6][COUNT_BYTES], phrase[2 * LONGEST_PHRASE_BYTES];
    print_label(printer, "packages");
    if (strcmp(integrity->database, "none") == 0) {
        if (integrity->detail)
            print_escaped(printer, integrity->detail);
        else
            fputs(km_words(whole ? "no package database in the image" : "no package database in what was read"),
                  printer->out);
        fprintf(printer->out, "%s\n", km_words("; nothing to compare files with"));
        return;
    }
    if (strcmp(integrity->database, "unusable") == 0) {
        fputs(km_words("the package database cannot be used"), printer->out);
        if (integrity->detail) {
            fputs(": ", printer->out);
            print_escaped(printer, integrity->detail);
        }
        fputc('\n', printer->out);
        return;
    }
    snprintf(packages, sizeof packages, "%" PRIu64, integrity->packages);
    snprintf(counts[5], sizeof counts[5], "%" PRIu64, integrity->executables_unowned);
    km_words_format(phrase, sizeof phrase,
                    "{database}, {n} packages; files: {intact} as shipped, {configuration} configuration, {unchecked} "
                    "without checksum, {changed} changed, {unowned} unowned ({executable} of them executable)",
                    "database", integrity->database, "n", packages, "intact",
                    format_count(integrity->files_intact, counts[0]), "configuration",
                    format_count(integrity->files_configuration, counts[1]), "unchecked",
                    format_count(integrity->files_unchecked, counts[2]), "changed",
                    format_count(integrity->files_changed, counts[3]), "unowned",
                    format_count(integrity->files_unowned, counts[4]), "executable", counts[5], NULL);
    fprintf(printer->out, "%s\n", phrase);
}

static void print_image(const struct printer *printer, const struct km_image_info *image)
{
    char layers[COUNT_BYTES], phrase[LONGEST_PHRASE_BYTES];
    print_label(printer, "image");
    print_escaped(printer, image->name ? image->name : image->digest ? image->digest : km_words("(unnamed)"));
    snprintf(layers, sizeof layers, "%" PRIu64, image->layers);
    km_words_format(phrase, sizeof phrase, image->layers == 1 ? ", 1 layer" : ", {n} layers", "n", layers, NULL);
    fputs(phrase, printer->out);
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
    char size[32], offset[COUNT_BYTES], phrase[LONGEST_PHRASE_BYTES];
    if (gap->bytes != UINT64_MAX)
        km_text_format_bytes(gap->bytes, size, sizeof size);
    fprintf(printer->out, "    %s (%s)  ", km_words(km_gap_reason_to_string(gap->reason)),
            gap->bytes != UINT64_MAX ? size : km_words("unknown size"));
    print_escaped(printer, gap->where && *gap->where ? gap->where : km_words("the source"));
    snprintf(offset, sizeof offset, "%" PRIu64, gap->offset);
    km_words_format(phrase, sizeof phrase, " at byte {offset}", "offset", offset, NULL);
    if (gap->offset != UINT64_MAX && gap->offset > 0)
        fputs(phrase, printer->out);
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
    char percent[16], files[COUNT_BYTES], all_files[COUNT_BYTES], phrase[LONGEST_PHRASE_BYTES];
    snprintf(percent, sizeof percent, "%.1f %%", share);
    km_words_format(phrase, sizeof phrase, "{share}: {examined} of {total} in {files} of {all} files", "share", percent,
                    "examined", examined, "total", total, "files", format_count(coverage->files_examined, files), "all",
                    format_count(coverage->files_total, all_files), NULL);
    fputs(phrase, printer->out);
    if (coverage->bytes_opaque > 0) {
        km_text_format_bytes(coverage->bytes_opaque, total, sizeof total);
        km_words_format(phrase, sizeof phrase, ", {bytes} opaque", "bytes", total, NULL);
        fputs(phrase, printer->out);
    }
}

static void print_coverage(const struct printer *printer, const struct km_result *result)
{
    const struct km_coverage *coverage = &result->outcome.coverage;
    bool whole = is_whole(result);
    char gaps[COUNT_BYTES], phrase[LONGEST_PHRASE_BYTES];
    print_label(printer, "coverage");
    if (coverage->files_total == 0 && !whole)
        fputs(km_words("nothing was examined"), printer->out);
    else
        print_examined(printer, coverage, whole);
    if (coverage->gaps == 0) {
        fprintf(printer->out, "%s\n", whole ? km_words("; no gaps") : "");
        return;
    }
    snprintf(gaps, sizeof gaps, "%" PRIu64, coverage->gaps);
    km_words_format(phrase, sizeof phrase, coverage->gaps == 1 ? "; 1 gap:" : "; {n} gaps:", "n", gaps, NULL);
    fprintf(printer->out, "%s\n", phrase);
    for (size_t i = 0; i < result->gap_count && i < GAPS_SHOWN; i++)
        print_gap(printer, &result->gaps[i]);
    if (coverage->gaps > GAPS_SHOWN)
        print_more(printer, coverage->gaps - GAPS_SHOWN);
}

static void print_uncalibrated(const struct printer *printer)
{
    print_label(printer, "alarms");
    fprintf(printer->out, "%s\n", km_words("not calibrated: how many of them are false is not known"));
}

static void print_expectation(const struct printer *printer, const struct km_outcome *outcome)
{
    const struct km_expectation *expectation = outcome->expectation;
    if (outcome->versions.model) {
        print_label(printer, "model");
        print_escaped(printer, outcome->versions.model);
        fputc('\n', printer->out);
    }
    if (!expectation) {
        if (outcome->versions.model)
            print_uncalibrated(printer);
        return;
    }
    double programs = (double)expectation->programs;
    char count[COUNT_BYTES], rates[3][COUNT_BYTES], above[COUNT_BYTES], negatives[COUNT_BYTES],
        phrase[2 * LONGEST_PHRASE_BYTES];
    snprintf(rates[0], sizeof rates[0], "%.2g", programs * expectation->rate);
    snprintf(rates[1], sizeof rates[1], "%.2g", programs * expectation->low);
    snprintf(rates[2], sizeof rates[2], "%.2g", programs * expectation->high);
    snprintf(above, sizeof above, "%" PRIu64, expectation->above);
    snprintf(negatives, sizeof negatives, "%" PRIu64, expectation->negatives);
    print_label(printer, "alarms");
    km_words_format(phrase, sizeof phrase,
                    expectation->programs == 1
                        ? "of 1 program, {false} false ones expected (95 %: {low} to {high}) if they are like the "
                          "calibration's: {above} of {all}: "
                        : "of {n} programs, {false} false ones expected (95 %: {low} to {high}) if they are like the "
                          "calibration's: {above} of {all}: ",
                    "n", format_count(expectation->programs, count), "false", rates[0], "low", rates[1], "high",
                    rates[2], "above", above, "all", negatives, NULL);
    fputs(phrase, printer->out);
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
    if (result->outcome.error) {
        print_label(printer, "error");
        fprintf(printer->out, "%s\n", result->outcome.error->text);
    }
    char time[32], score[16], phrase[LONGEST_PHRASE_BYTES];
    km_text_format_seconds(result->outcome.seconds, time, sizeof time);
    snprintf(score, sizeof score, "%.2f", result->outcome.score);
    km_words_format(phrase, sizeof phrase, ", score {score} ({time})", "score", score, "time", time, NULL);
    print_label(printer, "verdict");
    fprintf(printer->out, "%s%s%s%s\n\n", colour_of(printer, result->outcome.verdict),
            km_words(km_verdict_to_string(result->outcome.verdict)), plain(printer), phrase);
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
