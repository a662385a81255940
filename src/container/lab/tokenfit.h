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

/* The inverse penalty, chosen by five-fold cross-validation over families of train and valid (30, 100, 1000). */
#define KM_TOKENFIT_STRENGTH 1000.0
/* Files of one benign family in the index, those with the most tokens: what keeps it small enough to ship. */
#define KM_TOKENFIT_BENIGN_FILES 4

/* Which samples do what: marks for all of the data set. */
struct km_tokenfit_plan {
    const bool *train; /* both classes; each family weighs the same */
    const bool *held;  /* outside of it, both classes: their scores set the calibration; NULL: none is set */
    /* The site's own files (each weighs the same), or NULL: with some they are the only benign side, for what a site
     * needs told apart from tools is what it runs. */
    const struct km_sitefiles *site;
    bool files_alone; /* one training, whole files: what `site` implies, for data sets whose benign side is a site's */
};
/* Trained twice, the second time with the strongest window of each file (trainwindows.h). Codes of tokentrain.h and
 * trainwindows.h. */
enum km_code km_tokenfit_model(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const struct km_tokenfit_plan *plan, struct km_token_model **out,
                               struct km_err *err) KM_MUST_USE;
/* Sets the calibration by logits ([count]; of a file, the higher of its own and its strongest window's; NaN: it has no
 * words) that models which had not learned from them gave the samples of `held`. Codes of
 * km_token_model_calibrate. */
enum km_code km_tokenfit_calibrate(const struct km_dataset *dataset, const bool *held, const double *logits,
                                   struct km_token_model *model, struct km_err *err) KM_MUST_USE;
/* Adds the site's files to an index that is not prepared. KM_LIMIT, KM_NOMEM. */
enum km_code km_tokenfit_add_site(struct km_token_index *index, const struct km_sitefiles *site,
                                  struct km_err *err) KM_MUST_USE;

/* All positives of `known`, and of its benign families the files that most_benign allows each. Not prepared. Codes of
 * tokenindex.h. */
enum km_code km_tokenfit_index(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const bool *known, size_t most_benign, struct km_token_index **out,
                               struct km_err *err) KM_MUST_USE;

#endif
