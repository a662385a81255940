#include "nn/card.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define CARD_VERSION 1
#define MAX_EXACT    (INT64_C(1) << 53) /* what every JSON reader keeps exactly */

static const char *const views[] = {"file", "tar"};

static enum km_code wrong(struct km_err *err, const char *where, const char *what)
{
    return km_fail(err, KM_FORMAT, "model card: %s: %s", where, what);
}

/* All of `names`, separated by spaces, are members of the object, and no others; "?" ends the name of an optional one.
 */
static enum km_code check_members(const struct km_json *object, const char *where, const char *names,
                                  struct km_err *err)
{
    if (km_json_type(object) != KM_JSON_OBJECT)
        return wrong(err, where, "not an object");
    size_t known = 0;
    for (const char *name = names; *name;) {
        size_t length = strcspn(name, " ");
        bool optional = name[length - 1] == '?';
        char key[32];
        (void)snprintf(key, sizeof key, "%.*s", (int)(optional ? length - 1 : length), name);
        bool there = km_json_member(object, key) != NULL;
        if (!there && !optional)
            return km_fail(err, KM_FORMAT, "model card: %s: '%s' is missing", where, key);
        known += there;
        name += length + (name[length] == ' ');
    }
    if (known != km_json_size(object))
        return wrong(err, where, "an unknown member");
    return KM_OK;
}

static enum km_code read_text(const struct km_json *object, const char *key, char *out, size_t bytes,
                              struct km_err *err)
{
    const char *text = km_json_text(km_json_member(object, key));
    char escaped[KM_TEXT_ESCAPED_MAX(KM_CARD_TEXT_BYTES)];
    if (!text || text[0] == '\0')
        return wrong(err, key, "not a text");
    size_t length = strlen(text);
    if (length >= bytes)
        return km_fail(err, KM_LIMIT, "model card: %s: a text of %zu bytes", key, length);
    km_text_escape(text, length, escaped, sizeof escaped);
    if (strcmp(text, escaped) != 0)
        return wrong(err, key, "a text with control characters");
    memcpy(out, text, length + 1);
    return KM_OK;
}

static bool is_date(const char *text)
{
    static const char pattern[] = "dddd-dd-dd";
    for (size_t i = 0; i < sizeof pattern - 1; i++)
        if (pattern[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
            return false;
    int month = (text[5] - '0') * 10 + text[6] - '0', day = (text[8] - '0') * 10 + text[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static enum km_code read_date(const struct km_json *object, const char *key, char *out, struct km_err *err)
{
    char text[KM_CARD_DATE_BYTES] = "";
    enum km_code code = read_text(object, key, text, sizeof text, err);
    if (code != KM_OK)
        return code;
    if (strlen(text) != KM_CARD_DATE_BYTES - 1 || !is_date(text))
        return wrong(err, key, "not a date (YYYY-MM-DD)");
    memcpy(out, text, sizeof text);
    return KM_OK;
}

static enum km_code read_integer(const struct km_json *object, const char *key, int64_t limit, int64_t *out,
                                 struct km_err *err)
{
    int64_t value = km_json_integer(km_json_member(object, key), "", -1);
    if (value < 0 || value > limit)
        return wrong(err, key, "not a whole number in its range");
    *out = value;
    return KM_OK;
}

static enum km_code read_real(const struct km_json *object, const char *key, double *out, struct km_err *err)
{
    double value = km_json_real(km_json_member(object, key), "", NAN);
    if (!isfinite(value))
        return wrong(err, key, "not a number");
    *out = value;
    return KM_OK;
}

static enum km_code read_data(const struct km_json *item, struct km_card *card, struct km_err *err)
{
    struct km_card_data *data = &card->data[card->data_count];
    enum km_code code = check_members(item, "data", "name from to", err);
    if (code == KM_OK)
        code = read_text(item, "name", data->name, sizeof data->name, err);
    if (code == KM_OK)
        code = read_date(item, "from", data->from, err);
    if (code == KM_OK)
        code = read_date(item, "to", data->to, err);
    if (code == KM_OK && strcmp(data->from, data->to) > 0)
        return wrong(err, "data", "a period that ends before it begins");
    card->data_count += code == KM_OK;
    return code;
}

static enum km_code read_seed(const struct km_json *item, struct km_card *card, struct km_err *err)
{
    int64_t seed = km_json_integer(item, "", -1);
    if (seed < 0 || seed > MAX_EXACT)
        return wrong(err, "seeds", "not a whole number in its range");
    card->seeds[card->seed_count++] = seed;
    return KM_OK;
}

static enum km_code read_metric(const struct km_json *item, struct km_card *card, struct km_err *err)
{
    struct km_card_metric *metric = &card->metrics[card->metric_count];
    enum km_code code = check_members(item, "metrics", "name value low high n", err);
    if (code == KM_OK)
        code = read_text(item, "name", metric->name, sizeof metric->name, err);
    if (code == KM_OK)
        code = read_real(item, "value", &metric->value, err);
    if (code == KM_OK)
        code = read_real(item, "low", &metric->low, err);
    if (code == KM_OK)
        code = read_real(item, "high", &metric->high, err);
    if (code == KM_OK)
        code = read_integer(item, "n", MAX_EXACT, &metric->n, err);
    if (code == KM_OK && !(metric->low <= metric->value && metric->value <= metric->high))
        return wrong(err, "metrics", "a value outside its interval");
    card->metric_count += code == KM_OK;
    return code;
}

static enum km_code read_threshold(const struct km_json *item, struct km_card *card, struct km_err *err)
{
    struct km_card_threshold *threshold = &card->thresholds[card->threshold_count];
    enum km_code code = check_members(item, "thresholds", "name value", err);
    if (code == KM_OK)
        code = read_text(item, "name", threshold->name, sizeof threshold->name, err);
    if (code == KM_OK)
        code = read_real(item, "value", &threshold->value, err);
    card->threshold_count += code == KM_OK;
    return code;
}

static enum km_code read_list(const struct km_json *root, const char *key, struct km_card *card,
                              enum km_code (*read_item)(const struct km_json *, struct km_card *, struct km_err *),
                              struct km_err *err)
{
    const struct km_json *list = km_json_member(root, key);
    if (km_json_type(list) != KM_JSON_ARRAY)
        return wrong(err, key, "not a list");
    if (km_json_size(list) > KM_CARD_MAX_LIST)
        return km_fail(err, KM_LIMIT, "model card: %s: more than %d", key, KM_CARD_MAX_LIST);
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < km_json_size(list); i++)
        code = read_item(km_json_at(list, i), card, err);
    return code;
}

static enum km_code read_hidden(const struct km_json *root, struct km_card *card, struct km_err *err)
{
    int64_t hidden = 0;
    if (!km_json_member(root, "hidden"))
        return KM_OK;
    if (card->architecture != KM_ARCHITECTURE_RESNET18)
        return wrong(err, "hidden", "only resnet18 has such units");
    enum km_code code = read_integer(root, "hidden", KM_CARD_MAX_HIDDEN, &hidden, err);
    if (code == KM_OK && hidden == 0)
        return wrong(err, "hidden", "none");
    card->hidden = (uint32_t)hidden;
    return code;
}

static enum km_code read_picture(const struct km_json *root, struct km_card *card, struct km_err *err)
{
    const struct km_json *picture = km_json_member(root, "picture");
    int64_t size = KM_CARD_PICTURE_SIZE, step = KM_CARD_PICTURE_STEP;
    if (card->view != KM_CARD_VIEW_TAR)
        return picture ? wrong(err, "picture", "only the tar view has one") : KM_OK;
    if (picture) {
        enum km_code code = check_members(picture, "picture", "size step", err);
        if (code == KM_OK)
            code = read_integer(picture, "size", KM_CARD_PICTURE_MAX_SIZE, &size, err);
        if (code == KM_OK)
            code = read_integer(picture, "step", KM_CARD_PICTURE_MAX_STEP, &step, err);
        if (code != KM_OK)
            return code;
        if (size < KM_CARD_PICTURE_MIN_SIZE || (size & (size - 1)) != 0)
            return wrong(err, "size", "not a power of two in its range");
    }
    card->picture = (struct km_card_picture){(uint32_t)size, (uint32_t)step};
    return KM_OK;
}

/* What the network is: architecture, stem, view, outputs, hidden units, picture. */
static enum km_code read_kind(const struct km_json *root, struct km_card *card, struct km_err *err)
{
    char word[KM_CARD_TEXT_BYTES];
    enum km_code code = read_text(root, "architecture", word, sizeof word, err);
    if (code == KM_OK)
        code = km_architecture_from_string(word, &card->architecture, err);
    if (code != KM_OK)
        return code;
    bool light = card->architecture == KM_ARCHITECTURE_LIGHT;
    if (light != (km_json_member(root, "stem") != NULL))
        return wrong(err, "stem", light ? "missing" : "only a light network has one");
    if (light)
        code = read_text(root, "stem", word, sizeof word, err);
    if (code == KM_OK && light)
        code = km_stem_kind_from_string(word, &card->stem, err);
    if (code == KM_OK)
        code = read_text(root, "view", word, sizeof word, err);
    if (code != KM_OK)
        return code;
    if (strcmp(word, views[KM_CARD_VIEW_FILE]) != 0 && strcmp(word, views[KM_CARD_VIEW_TAR]) != 0)
        return km_fail(err, KM_UNSUPPORTED, "model card: no such view: '%.64s'", word);
    card->view = strcmp(word, views[KM_CARD_VIEW_TAR]) == 0 ? KM_CARD_VIEW_TAR : KM_CARD_VIEW_FILE;
    int64_t outputs = 0;
    code = read_integer(root, "outputs", KM_CARD_MAX_OUTPUTS, &outputs, err);
    if (code == KM_OK && outputs == 0)
        return wrong(err, "outputs", "none");
    card->outputs = (uint32_t)outputs;
    if (code == KM_OK)
        code = read_hidden(root, card, err);
    return code == KM_OK ? read_picture(root, card, err) : code;
}

static enum km_code read_weights(const struct km_json *root, struct km_card *card, struct km_err *err)
{
    const struct km_json *weights = km_json_member(root, "weights");
    enum km_code code = check_members(weights, "weights", "sha256 bytes", err);
    if (code != KM_OK)
        return code;
    const char *digest = km_json_string(weights, "sha256", "");
    if (strlen(digest) != KM_SHA256_HEX_BYTES - 1 || km_hex_parse(digest, KM_SHA256_BYTES, card->sha256, err) != KM_OK)
        return wrong(err, "weights", "sha256 is not 64 hexadecimal digits");
    return read_integer(weights, "bytes", MAX_EXACT, &card->weights_bytes, err);
}

static enum km_code read_card(const struct km_json *root, struct km_card *card, struct km_err *err)
{
    if (km_json_type(root) != KM_JSON_OBJECT)
        return wrong(err, "document", "not an object");
    int64_t version = km_json_integer(root, "komainu_card", -1);
    if (version != CARD_VERSION)
        return km_fail(err, version > 0 ? KM_UNSUPPORTED : KM_FORMAT, "model card: komainu_card is not %d",
                       CARD_VERSION);
    enum km_code code = check_members(root, "document",
                                      "komainu_card name architecture stem? view picture? outputs hidden? created "
                                      "data seeds metrics thresholds weights",
                                      err);
    if (code == KM_OK)
        code = read_text(root, "name", card->name, sizeof card->name, err);
    if (code == KM_OK)
        code = read_kind(root, card, err);
    if (code == KM_OK)
        code = read_date(root, "created", card->created, err);
    if (code == KM_OK)
        code = read_list(root, "data", card, read_data, err);
    if (code == KM_OK)
        code = read_list(root, "seeds", card, read_seed, err);
    if (code == KM_OK)
        code = read_list(root, "metrics", card, read_metric, err);
    if (code == KM_OK)
        code = read_list(root, "thresholds", card, read_threshold, err);
    return code == KM_OK ? read_weights(root, card, err) : code;
}

enum km_code km_card_parse(const char *text, size_t length, struct km_card *out, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_parse(text, length, KM_CARD_MAX_BYTES, err);
    if (!root)
        return km_err_wrap(err, "model card");
    KM_CLEANUP(km_cleanup_free) struct km_card *card = km_calloc(1, sizeof *card, SIZE_MAX, err);
    if (!card)
        return err->code;
    enum km_code code = read_card(root, card, err);
    if (code == KM_OK)
        *out = *card;
    return code;
}

static struct km_json *lists_of(const struct km_card *card, struct km_json *root)
{
    struct km_json *data = km_json_new_array(), *seeds = km_json_new_array();
    struct km_json *metrics = km_json_new_array(), *thresholds = km_json_new_array();
    for (size_t i = 0; i < card->data_count; i++) {
        struct km_json *item = km_json_new_object();
        km_json_set_string(item, "name", card->data[i].name);
        km_json_set_string(item, "from", card->data[i].from);
        km_json_set_string(item, "to", card->data[i].to);
        km_json_append(data, item);
    }
    for (size_t i = 0; i < card->seed_count; i++)
        km_json_append(seeds, km_json_new_integer(card->seeds[i]));
    for (size_t i = 0; i < card->metric_count; i++) {
        struct km_json *item = km_json_new_object();
        km_json_set_string(item, "name", card->metrics[i].name);
        km_json_set_real(item, "value", card->metrics[i].value);
        km_json_set_real(item, "low", card->metrics[i].low);
        km_json_set_real(item, "high", card->metrics[i].high);
        km_json_set_integer(item, "n", card->metrics[i].n);
        km_json_append(metrics, item);
    }
    for (size_t i = 0; i < card->threshold_count; i++) {
        struct km_json *item = km_json_new_object();
        km_json_set_string(item, "name", card->thresholds[i].name);
        km_json_set_real(item, "value", card->thresholds[i].value);
        km_json_append(thresholds, item);
    }
    km_json_set(root, "data", data);
    km_json_set(root, "seeds", seeds);
    km_json_set(root, "metrics", metrics);
    km_json_set(root, "thresholds", thresholds);
    return root;
}

enum km_code km_card_format(const struct km_card *card, struct km_buf *out, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_new_object();
    km_json_set_integer(root, "komainu_card", CARD_VERSION);
    km_json_set_string(root, "name", card->name);
    km_json_set_string(root, "architecture", km_architecture_to_string(card->architecture));
    if (card->architecture == KM_ARCHITECTURE_LIGHT)
        km_json_set_string(root, "stem", km_stem_kind_to_string(card->stem));
    km_json_set_string(root, "view", views[card->view]);
    if (card->view == KM_CARD_VIEW_TAR) {
        struct km_json *picture = km_json_new_object();
        km_json_set_integer(picture, "size", card->picture.size);
        km_json_set_integer(picture, "step", card->picture.step);
        km_json_set(root, "picture", picture);
    }
    km_json_set_integer(root, "outputs", card->outputs);
    if (card->hidden > 0)
        km_json_set_integer(root, "hidden", card->hidden);
    km_json_set_string(root, "created", card->created);
    lists_of(card, root);
    char digest[KM_SHA256_HEX_BYTES];
    km_hex_format(card->sha256, KM_SHA256_BYTES, digest);
    struct km_json *weights = km_json_new_object();
    km_json_set_string(weights, "sha256", digest);
    km_json_set_integer(weights, "bytes", card->weights_bytes);
    km_json_set(root, "weights", weights);
    return km_json_format(root, 2, out, err);
}

bool km_card_threshold_find(const struct km_card *card, const char *name, double *out)
{
    for (size_t i = 0; i < card->threshold_count; i++)
        if (strcmp(card->thresholds[i].name, name) == 0) {
            *out = card->thresholds[i].value;
            return true;
        }
    return false;
}
