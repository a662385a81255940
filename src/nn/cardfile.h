/*
 * A card and the file that it names, on disk: whatever the file's values mean, size and digest are checked before
 * anything in it is read, and both are written whole.
 */
#ifndef KM_NN_CARDFILE_H
#define KM_NN_CARDFILE_H

#include "base/err.h"
#include "nn/card.h"

/* Reads a card from its start; the caller keeps the descriptor. The codes of card.h and wholefile.h. */
enum km_code km_cardfile_load_card(int fd, struct km_card *out, struct km_err *err) KM_MUST_USE;
/* Reads the weights that a card names from their start; the caller keeps the descriptor and frees *out_bytes.
 * KM_CONFLICT when they are not the card's; the codes of wholefile.h. */
enum km_code km_cardfile_load_weights(int fd, const struct km_card *card, size_t max_bytes, uint8_t **out_bytes,
                                      size_t *out_length, struct km_err *err) KM_MUST_USE;

/* Who writes the weights into a descriptor. */
struct km_cardfile_writer {
    const void *context;
    enum km_code (*write)(const void *context, int fd, struct km_err *err);
};

/* Writes <name>.safetensors, then <name>.json; size and digest of the card are set from the weights, of at most
 * max_bytes. folder is borrowed. KM_IO, KM_DENIED, KM_LIMIT (name, weights), KM_NOMEM. */
enum km_code km_cardfile_save(int folder, const char *name, const struct km_card *card, size_t max_bytes,
                              const struct km_cardfile_writer *writer, struct km_err *err) KM_MUST_USE;

#endif
