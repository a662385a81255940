#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "desk/report/report_internal.h"

#define MAX_MESSAGE_BYTES ((size_t)64 << 10)
#define ID_BYTES          96
#define OWN_CREATED       "2026-11-22T00:00:00Z" /* of the identity and the extension: never changes */
#define OWN_VERSION       "1.0.0"                /* of the extension */

/* Name spaces of RFC 4122, version 5: the specification's own for observables (STIX 2.1, section 2.9), and one of ours,
 * drawn once, for everything else. */
static const uint8_t observables[16] = {0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c,
                                        0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7};
static const uint8_t own_objects[16] = {0x6b, 0x6f, 0x6d, 0x61, 0x69, 0x6e, 0x75, 0x4e,
                                        0xb1, 0x57, 0x2c, 0x4d, 0x8e, 0x03, 0x91, 0xda};

struct bundle {
    struct km_json *objects;
    char now[KM_CLOCK_UTC_BYTES];
    char identity[ID_BYTES];
    char extension[ID_BYTES];
    struct km_json *ids; /* of the objects: a folder or layer of many files stands once */
};

/* Takes over the object. */
static void add_object(struct bundle *bundle, struct km_json *object)
{
    const char *id = km_json_string(object, "id", "");
    if (km_json_member(bundle->ids, id)) {
        km_json_free(object);
        return;
    }
    km_json_set_bool(bundle->ids, id, true);
    km_json_append(bundle->objects, object);
}

static enum km_code make_id(const char *type, const uint8_t space[16], const char *name, char out[ID_BYTES],
                            struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA1, err);
    if (!digest)
        return err->code;
    uint8_t hash[KM_SHA1_BYTES];
    km_digest_update(digest, space, 16);
    km_digest_update(digest, name, strlen(name));
    km_digest_finish(digest, hash);
    km_digest_free(digest);
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x50);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    char hex[2 * KM_SHA1_BYTES + 1];
    km_hex_format(hash, sizeof hash, hex);
    (void)snprintf(out, ID_BYTES, "%s--%.8s-%.4s-%.4s-%.4s-%.12s", type, hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return KM_OK;
}

static struct km_json *new_object(const char *type, const char *id)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "type", type);
    km_json_set_string(object, "spec_version", "2.1");
    km_json_set_string(object, "id", id);
    return object;
}

/* Domain objects and relations carry who made them and when; observables do not. */
static struct km_json *new_domain_object(const struct bundle *bundle, const char *type, const char *id,
                                         const char *created)
{
    struct km_json *object = new_object(type, id);
    if (strcmp(type, "identity") != 0)
        km_json_set_string(object, "created_by_ref", bundle->identity);
    km_json_set_string(object, "created", created);
    km_json_set_string(object, "modified", created);
    return object;
}

static struct km_json *new_refs(const char *const *ids, size_t count)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < count; i++)
        km_json_append(list, km_json_new_string(ids[i]));
    return list;
}

static struct km_json *new_hashes(const char *sha256)
{
    struct km_json *hashes = km_json_new_object();
    km_json_set_string(hashes, "SHA-256", sha256);
    return hashes;
}

/* An identifier of observables is made from its contributing properties, as canonical JSON: keys in order. */
static enum km_code make_observable_id(const char *type, const struct km_json *properties, char out[ID_BYTES],
                                       struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, MAX_MESSAGE_BYTES);
    enum km_code code = km_json_format(properties, 0, &text, err);
    if (code == KM_OK)
        code = make_id(type, observables, km_buf_text(&text), out, err);
    km_buf_done(&text);
    return code;
}

static enum km_code add_folder(struct bundle *bundle, const char *path, size_t length, char out[ID_BYTES],
                               struct km_err *err)
{
    char *folder KM_CLEANUP(km_cleanup_free) = km_calloc(length + 2, 1, SIZE_MAX, err);
    if (!folder)
        return err->code;
    bool rooted = length > 0 && path[0] == '/';
    folder[0] = '/';
    memcpy(folder + !rooted, path, length);
    struct km_json *properties KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_escaped(properties, "path", folder);
    enum km_code code = make_observable_id("directory", properties, out, err);
    if (code != KM_OK)
        return code;
    struct km_json *object = new_object("directory", out);
    km_json_set_escaped(object, "path", folder);
    add_object(bundle, object);
    return KM_OK;
}

/* What STIX has no property for: where in the file, and which build step brought it. Keys in order. */
static struct km_json *new_extensions(const struct bundle *bundle, const struct km_finding *finding)
{
    struct km_json *extensions = km_json_new_object(), *extension = km_json_new_object();
    struct km_json *ranges = km_json_new_array(), *evidence = km_json_new_array();
    for (size_t i = 0; i < finding->range_count; i++) {
        struct km_json *range = km_json_new_object();
        km_json_set_count(range, "begin", finding->ranges[i].begin);
        km_json_set_count(range, "end", finding->ranges[i].end);
        km_json_append(ranges, range);
    }
    if (finding->range_count > 0)
        km_json_set(extension, "byte_ranges", ranges);
    else
        km_json_free(ranges);
    for (size_t i = 0; i < finding->evidence_count; i++)
        km_json_append(evidence, km_json_new_string(finding->evidence[i].id));
    if (finding->evidence_count > 0)
        km_json_set(extension, "evidence", evidence);
    else
        km_json_free(evidence);
    km_json_set_string(extension, "extension_type", "property-extension");
    if (finding->subject.image)
        km_json_set_escaped(extension, "image", finding->subject.image);
    if (finding->subject.layer)
        km_json_set_escaped(extension, "layer", finding->subject.layer);
    if (finding->subject.layer_history)
        km_json_set_escaped(extension, "layer_history", finding->subject.layer_history);
    km_json_set(extensions, bundle->extension, extension);
    return extensions;
}

static enum km_code add_file(struct bundle *bundle, const struct km_finding *finding, char folder_id[ID_BYTES],
                             char out[ID_BYTES], struct km_err *err)
{
    const struct km_subject *subject = &finding->subject;
    const char *path = km_report_subject_name(finding);
    const char *slash = strrchr(path, '/');
    const char *name = slash && slash[1] ? slash + 1 : path;
    enum km_code code = add_folder(bundle, path, slash ? (size_t)(slash - path) : 0, folder_id, err);
    struct km_json *properties KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set(properties, "extensions", new_extensions(bundle, finding));
    if (subject->sha256)
        km_json_set(properties, "hashes", new_hashes(subject->sha256));
    km_json_set_escaped(properties, "name", name);
    km_json_set_string(properties, "parent_directory_ref", folder_id);
    if (code == KM_OK)
        code = make_observable_id("file", properties, out, err);
    if (code != KM_OK)
        return code;
    struct km_json *file = new_object("file", out);
    km_json_set_escaped(file, "name", name);
    km_json_set_count(file, "size", subject->size_bytes);
    if (subject->sha256)
        km_json_set(file, "hashes", new_hashes(subject->sha256));
    km_json_set_string(file, "parent_directory_ref", folder_id);
    km_json_set(file, "extensions", new_extensions(bundle, finding));
    add_object(bundle, file);
    return KM_OK;
}

/* The layer is a tar file, known by its digest. */
static enum km_code add_layer(struct bundle *bundle, const struct km_subject *subject, char out[ID_BYTES],
                              struct km_err *err)
{
    const char *hex = subject->layer + strlen("sha256:");
    struct km_json *properties KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set(properties, "hashes", new_hashes(hex));
    km_json_set_string(properties, "name", "layer.tar");
    enum km_code code = make_observable_id("file", properties, out, err);
    if (code != KM_OK)
        return code;
    struct km_json *layer = new_object("file", out);
    km_json_set_string(layer, "name", "layer.tar");
    km_json_set(layer, "hashes", new_hashes(hex));
    add_object(bundle, layer);
    return KM_OK;
}

/* Only what lies in a layer that is named by a well-formed digest. */
static bool has_layer(const struct km_subject *subject)
{
    return subject->layer && strncmp(subject->layer, "sha256:", 7) == 0 && strlen(subject->layer) == 7 + 64 &&
           strspn(subject->layer + 7, "0123456789abcdef") == 64;
}

/* A domain object keeps its time of creation for ever: what is made again in another run is another object. */
static enum km_code make_run_id(const struct bundle *bundle, const char *type, const char *fingerprint,
                                char out[ID_BYTES], struct km_err *err)
{
    char name[KM_SHA256_HEX_BYTES + KM_CLOCK_UTC_BYTES];
    (void)snprintf(name, sizeof name, "%s %s", fingerprint, bundle->now);
    return make_id(type, own_objects, name, out, err);
}

static enum km_code add_indicator(struct bundle *bundle, const struct km_finding *finding, const char *fingerprint,
                                  const char *observed_id, struct km_err *err)
{
    char id[ID_BYTES], sighting_id[ID_BYTES];
    struct km_buf text;
    km_buf_init(&text, MAX_MESSAGE_BYTES);
    enum km_code code = make_run_id(bundle, "indicator", fingerprint, id, err);
    if (code == KM_OK)
        code = make_run_id(bundle, "sighting", fingerprint, sighting_id, err);
    if (code == KM_OK)
        code = km_report_append_message(finding, &text, err);
    if (code == KM_OK) {
        struct km_json *indicator = new_domain_object(bundle, "indicator", id, bundle->now),
                       *types = km_json_new_array();
        char pattern[128];
        (void)snprintf(pattern, sizeof pattern, "[file:hashes.'SHA-256' = '%s']", finding->subject.sha256);
        km_json_append(types, km_json_new_string(finding->verdict == KM_VERDICT_MALICIOUS ? "malicious-activity"
                                                                                          : "anomalous-activity"));
        km_json_set(indicator, "indicator_types", types);
        km_json_set_escaped(indicator, "name", km_report_subject_name(finding));
        km_json_set_string(indicator, "description", km_buf_text(&text));
        km_json_set_integer(indicator, "confidence", (int64_t)(finding->score * finding->confidence * 100));
        km_json_set_string(indicator, "pattern", pattern);
        km_json_set_string(indicator, "pattern_type", "stix");
        km_json_set_string(indicator, "valid_from", bundle->now);
        add_object(bundle, indicator);
        struct km_json *sighting = new_domain_object(bundle, "sighting", sighting_id, bundle->now);
        km_json_set_string(sighting, "sighting_of_ref", id);
        km_json_set(sighting, "observed_data_refs", new_refs(&observed_id, 1));
        const char *where = bundle->identity;
        km_json_set(sighting, "where_sighted_refs", new_refs(&where, 1));
        km_json_set_integer(sighting, "count", 1);
        add_object(bundle, sighting);
    }
    km_buf_done(&text);
    return code;
}

static enum km_code add_finding(struct bundle *bundle, const struct km_finding *finding, struct km_err *err)
{
    char folder_id[ID_BYTES], file_id[ID_BYTES], layer_id[ID_BYTES], observed_id[ID_BYTES];
    char fingerprint[KM_SHA256_HEX_BYTES];
    enum km_code code = km_report_fingerprint(finding, fingerprint, err);
    if (code == KM_OK)
        code = add_file(bundle, finding, folder_id, file_id, err);
    if (code == KM_OK)
        code = make_run_id(bundle, "observed-data", fingerprint, observed_id, err);
    bool layer = has_layer(&finding->subject);
    if (code == KM_OK && layer)
        code = add_layer(bundle, &finding->subject, layer_id, err);
    if (code != KM_OK)
        return code;
    struct km_json *observed = new_domain_object(bundle, "observed-data", observed_id, bundle->now);
    km_json_set_string(observed, "first_observed", bundle->now);
    km_json_set_string(observed, "last_observed", bundle->now);
    km_json_set_integer(observed, "number_observed", 1);
    const char *refs[] = {file_id, folder_id, layer_id};
    km_json_set(observed, "object_refs", new_refs(refs, layer ? 3 : 2));
    add_object(bundle, observed);
    if (finding->verdict < KM_VERDICT_SUSPICIOUS || !finding->subject.sha256)
        return KM_OK;
    return add_indicator(bundle, finding, fingerprint, observed_id, err);
}

static enum km_code begin_bundle(struct bundle *bundle, struct km_err *err)
{
    enum km_code code = make_id("identity", own_objects, "komainu", bundle->identity, err);
    if (code == KM_OK)
        code = make_id("extension-definition", own_objects, "container file 1", bundle->extension, err);
    if (code != KM_OK)
        return code;
    struct km_json *identity = new_domain_object(bundle, "identity", bundle->identity, OWN_CREATED);
    km_json_set_string(identity, "name", "komainu");
    km_json_set_string(identity, "identity_class", "system");
    add_object(bundle, identity);
    struct km_json *extension = new_domain_object(bundle, "extension-definition", bundle->extension, OWN_CREATED);
    km_json_set_string(extension, "name", "file in a container");
    km_json_set_string(extension, "description",
                       "image, layer (digest of its uncompressed tar), layer_history (the build step), byte_ranges "
                       "(half open), evidence (identifiers)");
    km_json_set_string(extension, "schema", "komainu-report(5)");
    km_json_set_string(extension, "version", OWN_VERSION);
    km_json_set(extension, "extension_types", new_refs((const char *const[]){"property-extension"}, 1));
    add_object(bundle, extension);
    return KM_OK;
}

static enum km_code write_stix(const struct km_results *results, int64_t now_wall_ns, struct km_buf *out,
                               struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *ids KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct bundle state = {.objects = km_json_new_array(), .ids = ids}, *bundle = &state;
    km_clock_format_utc(now_wall_ns, bundle->now);
    char id[ID_BYTES];
    enum km_code code = begin_bundle(bundle, err);
    for (size_t i = 0; i < km_results_count(results) && code == KM_OK; i++) {
        const struct km_result *result = km_results_get(results, i);
        for (size_t k = 0; k < result->finding_count && code == KM_OK; k++)
            code = add_finding(bundle, &result->findings[k], err);
    }
    if (code == KM_OK)
        code = make_id("bundle", own_objects, bundle->now, id, err);
    km_json_set_string(document, "type", "bundle");
    if (code == KM_OK)
        km_json_set_string(document, "id", id);
    km_json_set(document, "objects", bundle->objects);
    if (code == KM_OK)
        code = km_json_format(document, 2, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}

const struct km_report_format km_report_stix = {"stix", write_stix};
