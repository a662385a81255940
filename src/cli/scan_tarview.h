/*
 * `komainu scan --view tar`: the user's network of pictures and the archives that it is shown.
 */
#ifndef KM_CLI_SCAN_TARVIEW_H
#define KM_CLI_SCAN_TARVIEW_H

#include "base/cancel.h"
#include "base/err.h"
#include "cli/options.h"
#include "container/scan/tarview.h"

/* Loads the network that --model names: a card NAME.json with NAME.safetensors beside it, or a folder with
 * picture.json. jobs: threads. *out is the caller's. KM_FORMAT when an option of the file view is given on the command
 * line, or no model; the codes of patchnet.h. What the file has and the network has not is said on standard error. */
enum km_code km_scan_tarview_open(const struct km_options *options, unsigned jobs, struct km_patchnet **out,
                                  struct km_err *err) KM_MUST_USE;

/* Opens an archive: FILE, tar:FILE, docker-archive:FILE, oci-archive:FILE, or "-". KM_UNSUPPORTED for other targets,
 * which have no bytes of their own; the codes of input.h. */
enum km_code km_scan_tarview_input(const char *spec, const struct km_cancel *cancel, struct km_input *out,
                                   struct km_err *err) KM_MUST_USE;

#endif
