/* Decisions from a file: what is accepted can be asked about any path, and has an owner and a reason. */
#include <stdint.h>
#include <stdlib.h>

#include "finding/decision.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_decision_list *list = km_decision_list_parse((const char *)data, size, &err);
    if (!list) {
        KM_ASSERT(err.code != KM_OK && err.text[0] != '\0');
        return 0;
    }
    const struct km_finding finding = {.subject = {.path = "usr/bin/x"}};
    struct km_decisions decisions = km_decision_list_decisions(list);
    const struct km_decision *found = decisions.find(decisions.context, &finding, 0);
    KM_ASSERT(!found || (found->who && found->note && found->until_wall_ns > 0));
    km_decision_list_free(list);
    return 0;
}
