/*
 * How `komainu kpi` prints: key figures and what a year costs, as text, JSON (data/schema/kpi-1.json) and CSV.
 */
#ifndef KM_CLI_KPI_VIEW_H
#define KM_CLI_KPI_VIEW_H

#include "base/err.h"
#include "desk/triage/economy.h"
#include "desk/triage/kpi.h"

enum km_kpi_format {
    KM_KPI_TEXT = 0,
    KM_KPI_JSON = 1,
    KM_KPI_CSV = 2,
};

/* scope: its name, or NULL. On standard output. KM_NOMEM, KM_LIMIT. */
enum km_code km_kpi_print(const struct km_kpi_report *report, const char *scope, enum km_kpi_format format,
                          struct km_err *err) KM_MUST_USE;

/* Every input is there. currency: a word behind money, "" for none; spread: in percent, for the assumption. */
enum km_code km_kpi_print_cost(const struct km_economy *economy, const struct km_kpi_report *report,
                               const char *currency, double spread, enum km_kpi_format format,
                               struct km_err *err) KM_MUST_USE;

#endif
