/*
 * What the files of an evaluation share.
 */
#ifndef KM_CONTAINER_LAB_EVALUATION_PARTS_H
#define KM_CONTAINER_LAB_EVALUATION_PARTS_H

#include "container/lab/evaluation.h"

struct km_evaluating {
    const struct km_dataset *dataset;
    const struct km_modelparts *parts;
    const struct km_evaluation_options *options;
    const struct km_filescore *scores; /* of every test sample and every known positive */
    const uint32_t *twins;
    struct km_evaluation *out;
};

/* Adds what the files give: the AUC (`auc` true) and the sensitivity at 10, 1 and 0.1 % ("tpr10", "tpr1", "tpr01")
 * under the name's stem; nothing when a class is missing. The files are weighed here. */
enum km_code km_evaluating_add(struct km_evaluating *work, const char *stem, struct km_figure_files *files, bool auc,
                               struct km_err *err) KM_MUST_USE;
enum km_code km_evaluating_add_auc(struct km_evaluating *work, const char *name, struct km_figure_files *files,
                                   struct km_err *err) KM_MUST_USE;
enum km_code km_evaluating_add_share(struct km_evaluating *work, const char *name, struct km_figure_files *files,
                                     struct km_err *err) KM_MUST_USE;

/* Families as the bootstrap draws them, and whether a sample is a test sample of the home build. */
bool km_evaluating_is_test(const struct km_sample *sample);
/* A positive whose family was in training, in another build. */
bool km_evaluating_is_known(const struct km_sample *sample);

/* evalbuilt.c: what is built from samples before it is scored or ranked. */
enum km_code km_evaluating_appended(struct km_evaluating *work, struct km_err *err) KM_MUST_USE;
enum km_code km_evaluating_containers(struct km_evaluating *work, struct km_err *err) KM_MUST_USE;
/* evalpacked.c */
enum km_code km_evaluating_packed(struct km_evaluating *work, struct km_err *err) KM_MUST_USE;
/* evalsite.c: which samples do what, with a model that the site's own files were added to. */
struct km_siting {
    bool *train;   /* positives that are known, and of benign files the site's alone: it need know no others */
    bool *known;   /* what the index holds: all of training, and the site's */
    bool *valid;   /* sets the scale */
    bool *judged;  /* unseen positives, and the site's next release */
    bool *foreign; /* benign files that the site has never seen */
    struct km_filescore *scores; /* of what is judged or foreign */
};
/* evalorigin.c */
enum km_code km_evaluating_site_origin(struct km_evaluating *work, const struct km_siting *siting,
                                       struct km_err *err) KM_MUST_USE;
enum km_code km_evaluating_site(struct km_evaluating *work, struct km_err *err) KM_MUST_USE;

#endif
