/*
 * Rows that several commands have in their option tables, so that they read the same everywhere.
 */
#ifndef KM_CLI_OPTION_ROWS_H
#define KM_CLI_OPTION_ROWS_H

#include "cli/options.h"

/* words: "text|json"; unset is text. */
#define KM_ROW_FORMAT(words)                                                                                           \
    {                                                                                                                  \
        .name = "format", .letter = 'f', .type = KM_OPTION_CHOICE, .choices = (words), .fallback = "text",             \
        .help = "what to print on standard output"                                                                     \
    }

#define KM_ROW_DESK_STORE                                                                                              \
    {                                                                                                                  \
        .name = "store", .type = KM_OPTION_TEXT, .argument = "FILE",                                                   \
        .help = "the store; unset: the shared one or your own"                                                         \
    }

#define KM_ROW_PROGRESS                                                                                                \
    {                                                                                                                  \
        .name = "progress", .type = KM_OPTION_FLAG, .fallback = "true", .help = "a progress bar, on a terminal only"   \
    }

#endif
