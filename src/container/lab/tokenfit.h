/*
 * The token model and the index of known files, fitted to a data set.
 */
#ifndef KM_CONTAINER_LAB_TOKENFIT_H
#define KM_CONTAINER_LAB_TOKENFIT_H

#include <stdbool.h>

#include "base/err.h"
#include "container/lab/dataset.h"
#include "container/lab/sampletokens.h"
#include "container/lab/sitefiles.h"
#include "container/tokens/tokenindex.h"
#include "container/tokens/tokentrain.h"

/* The inverse penalty, chosen by four-fold cross-validation over training families (3, 10, 30, 100, 300). */
#define KM_TOKENFIT_STRENGTH 100.0
/* Files of one benign family in the index, those with the most tokens: what keeps it small enough to ship. */
#define KM_TOKENFIT_BENIGN_FILES 4

/* Each family weighs the same. train: [count], which samples; both classes. held: [count], samples of both classes
 * outside of it, whose scores set the calibration; NULL: none is set. Codes of tokentrain.h. */
enum km_code km_tokenfit_model(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const bool *train, const bool *held, struct km_token_model **out,
                               struct km_err *err) KM_MUST_USE;

/* The same with the site's own files (each weighs the same) as the only benign side: what a site needs told apart from
 * its tools is what it runs. Never NULL; without files it is km_tokenfit_model. */
enum km_code km_tokenfit_site_model(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                                    const bool *train, const bool *held, const struct km_sitefiles *site,
                                    struct km_token_model **out, struct km_err *err) KM_MUST_USE;
/* Adds them to an index that is not prepared. KM_LIMIT, KM_NOMEM. */
enum km_code km_tokenfit_add_site(struct km_token_index *index, const struct km_sitefiles *site,
                                  struct km_err *err) KM_MUST_USE;

/* All positives of `known`, and of its benign families the files that most_benign allows each. Not prepared. Codes of
 * tokenindex.h. */
enum km_code km_tokenfit_index(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const bool *known, size_t most_benign, struct km_token_index **out,
                               struct km_err *err) KM_MUST_USE;

#endif
