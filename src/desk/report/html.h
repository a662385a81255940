/*
 * Reports for people who do not sit at a terminal: one HTML file each, which needs nothing from outside, runs nothing
 * and can be printed. Text that an enemy chose is escaped (html_writer.h). Sentences are in the language of the process
 * (base/words.h).
 */
#ifndef KM_REPORT_HTML_H
#define KM_REPORT_HTML_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "desk/report/pilot_figures.h"
#include "desk/store/store.h"

#define KM_REPORT_MAX_FINDINGS 50 /* on a page of one incident or container; the page says how many there are */

/* Each appends a document; after a failure out holds a part of it. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_report_html_pilot(const struct km_pilot *pilot, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err) KM_MUST_USE;
enum km_code km_report_json_pilot(const struct km_pilot *pilot, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err) KM_MUST_USE;

/* One incident with evidence, decisions and what to do. KM_NOTFOUND, codes of the store. */
enum km_code km_report_html_incident(struct km_desk *desk, int64_t id, int64_t now_wall_ns, struct km_buf *out,
                                     struct km_err *err) KM_MUST_USE;

/* The newest scan of the target `name`, as it was given to `komainu scan`: coverage, gaps, incidents. KM_NOTFOUND. */
enum km_code km_report_html_container(struct km_desk *desk, const char *name, int64_t now_wall_ns, struct km_buf *out,
                                      struct km_err *err) KM_MUST_USE;

#endif
