/*
 * A site's own calibration of a detector: the fusion as it is used here, with the threshold chosen on the site's own
 * images, in one file for each detector. docs/formats/additive.md has the format.
 */
#ifndef KM_CONTAINER_SCAN_SITEFILE_H
#define KM_CONTAINER_SCAN_SITEFILE_H

#include "base/err.h"
#include "container/scan/detector.h"
#include "stats/additive.h"

#define KM_SITEFILE_PATH_BYTES 4096

/* The file for a detector: <state>/komainu/calibration/<digest>.json, state being /var/lib for root,
 * $XDG_STATE_HOME or $HOME/.local/state. KM_NOTFOUND without a home, KM_LIMIT. */
enum km_code km_sitefile_path(const struct km_detector *detector, char out[KM_SITEFILE_PATH_BYTES],
                              struct km_err *err) KM_MUST_USE;

/* KM_NOTFOUND: there is none. KM_DENIED: it belongs to others, or others may write to it. And the codes of
 * km_additive_parse. */
enum km_code km_sitefile_load(const char *path, struct km_additive **out, struct km_err *err) KM_MUST_USE;

/* Makes the folder (0700) when it is not there; writes the file as a whole. KM_IO, KM_DENIED, KM_NOMEM. */
enum km_code km_sitefile_save(const char *path, const struct km_additive *fusion, struct km_err *err) KM_MUST_USE;

#endif
