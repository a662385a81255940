/*
 * A model as a folder, the detector's bundle: token model, index of known files, network, fusion, and card.json, which
 * says what it is, on what it was trained, how well it did and what it cannot do. docs/formats/detector-card.md has the
 * card. Files of the folder are hostile: the card's digests are checked before a part is believed.
 */
#ifndef KM_CONTAINER_LAB_MODELFOLDER_H
#define KM_CONTAINER_LAB_MODELFOLDER_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "container/lab/filescore.h"

#define KM_MODELFOLDER_CARD       "card.json"
#define KM_MODELFOLDER_TOKENS     "tokens" /* stems of .json and .safetensors */
#define KM_MODELFOLDER_NETWORK    "network"
#define KM_MODELFOLDER_INDEX      "index.kmti"
#define KM_MODELFOLDER_FUSION     "fusion.json"
#define KM_MODELFOLDER_CARD_BYTES ((size_t)256 << 10)
#define KM_MODELFOLDER_PART_BYTES ((size_t)6 << 20) /* what a shipped part may weigh */

struct km_modelfolder;

/* KM_NOTFOUND: no folder, no card; KM_CONFLICT: a part is not the card's; KM_FORMAT, KM_LIMIT, KM_UNSUPPORTED
 * (version), KM_IO, KM_NOMEM. The text names the part. Parts that the card does not name are absent. */
enum km_code km_modelfolder_open(const char *path, struct km_modelfolder **out, struct km_err *err) KM_MUST_USE;
void km_modelfolder_close(struct km_modelfolder *folder);
KM_DEFINE_CLEANUP(struct km_modelfolder, km_modelfolder_cleanup, km_modelfolder_close);

/* Borrowed. */
const struct km_modelparts *km_modelfolder_parts(const struct km_modelfolder *folder);
const struct km_json *km_modelfolder_card(const struct km_modelfolder *folder);

/* Writes the detector's bundle.json, then card.json into the folder (a descriptor): `about` (borrowed) with version and
 * the digests of the parts that are there. KM_IO, KM_DENIED, KM_LIMIT, KM_NOMEM. */
enum km_code km_modelfolder_write_card(int folder, const struct km_json *about, struct km_err *err) KM_MUST_USE;

#endif
