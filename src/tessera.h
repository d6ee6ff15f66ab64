/* SPDX-License-Identifier: Apache-2.0
 * libtessera: tokenizers and token corpora from C (and whatever can call C).
 *
 * Functions return TESSERA_OK or a code; the sentence that explains it is tessera_error(), on the
 * same thread. Results are written only on success. Nothing here prints, exits or changes signals.
 * An object may be used by several threads at once unless its function says otherwise. */
#ifndef TESSERA_H
#define TESSERA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TSR_API __attribute__((visibility("default")))

/* Codes are grouped by ten and never renumbered: 1x the caller, 2x the machine, 3x the data. */
typedef enum tessera_status {
    TESSERA_OK = 0,
    TESSERA_EARG = 10,         /* an argument that should not have been passed */
    TESSERA_ECONFIG = 11,      /* a setting is wrong */
    TESSERA_ENOMEM = 20,       /* memory could not be had */
    TESSERA_EIO = 21,          /* the operating system failed to read or write */
    TESSERA_ENOENT = 22,       /* no such file, key or modality */
    TESSERA_ECANCEL = 23,      /* a stop was requested */
    TESSERA_EFORMAT = 30,      /* malformed, truncated or hostile input */
    TESSERA_EUNSUPPORTED = 31, /* well formed, but of a kind that is not handled */
    TESSERA_EMISMATCH = 32,    /* two things that must agree do not */
    TESSERA_ENUMERIC = 33,     /* NaN or infinity where a number was expected */
    TESSERA_ELIMIT = 34,       /* larger than a stated limit */
} tessera_status;

/* Version of the library, "0.1.0". Never NULL. */
TSR_API const char *tessera_version(void);

/* What was wrong in the last failure on this thread: with which input, what was expected. Borrowed
 * until the next failure on this thread; "" if there was none. */
TSR_API const char *tessera_error(void);

/* Short stable name of a code, "EFORMAT". Never NULL. */
TSR_API const char *tessera_status_name(tessera_status code);

/* Worker threads for what follows; 0: TESSERA_THREADS, else the cores at hand. Results do not
 * depend on it. Not to be called while other functions run. */
TSR_API void tessera_set_threads(int n);

/* Release text or ids that a function here returned. NULL is fine. */
TSR_API void tessera_free(void *p);

/* --- tokenizers --------------------------------------------------------------------------------*/

typedef struct tessera_tokenizer tessera_tokenizer;

/* Open a tokenizer file (safetensors, or JSON for those without a network). `modality` is needed
 * for published 4M files only, which do not say it; else NULL. Errors   ENOENT, EIO, EFORMAT,
 * EUNSUPPORTED, EMISMATCH (tensors of a wrong shape). */
TSR_API tessera_status tessera_tokenizer_open(const char *path, const char *modality,
                                              tessera_tokenizer **out);

/* Release; NULL is fine. */
TSR_API void tessera_tokenizer_close(tessera_tokenizer *t);

/* What it does, as JSON text: kind, modality, grid, codebook size, preprocessing, hash ... Release
 * with tessera_free. */
TSR_API tessera_status tessera_tokenizer_describe(const tessera_tokenizer *t, char **json);

/* Tokens of a file: picture, depth map, sound, text, record, as the tokenizer wants it.
 * ids    [count] local ids, below the codebook size; grids row by row; of patches of pixels the
 *        values 0..255 (tessera-shard(5)); release with tessera_free
 * Errors   those of reading the file; EARG when it holds another kind of media. */
TSR_API tessera_status tessera_tokenizer_encode_file(const tessera_tokenizer *t, const char *path,
                                                     uint32_t **ids, size_t *count);

/* Write what the tokens decode to; the extension of `path` chooses the format (png, wav, txt,
 * json). Errors   EFORMAT for ids outside the codebook or an impossible count, EUNSUPPORTED without
 * a decoder, EIO. */
TSR_API tessera_status tessera_tokenizer_decode_file(const tessera_tokenizer *t,
                                                     const uint32_t *ids, size_t count,
                                                     const char *path);

/* --- corpora -----------------------------------------------------------------------------------*/

typedef struct tessera_corpus tessera_corpus;

/* Open a corpus folder. Errors: ENOENT, EIO, EFORMAT, EUNSUPPORTED. */
TSR_API tessera_status tessera_corpus_open(const char *path, tessera_corpus **out);

/* Release; NULL is fine. */
TSR_API void tessera_corpus_close(tessera_corpus *c);

/* Number of samples. */
TSR_API uint64_t tessera_corpus_samples(const tessera_corpus *c);

/* The manifest (vocabulary, modalities, shards) as JSON text. Release with tessera_free. */
TSR_API tessera_status tessera_corpus_describe(const tessera_corpus *c, char **json);

/* Key of sample i < samples. Release with tessera_free. */
TSR_API tessera_status tessera_corpus_key(tessera_corpus *c, uint64_t sample, char **key);

/* Tokens of one modality of one sample.
 * crop   0 is the centred square; below the number of crops of the modality
 * ids    [count] local ids, or values of patches; release with tessera_free. count 0: the sample
 *        lacks the modality
 * Errors   ENOENT no such modality, EARG no such sample or crop, EFORMAT, EMISMATCH. */
TSR_API tessera_status tessera_corpus_read(tessera_corpus *c, const char *modality, uint64_t sample,
                                           uint32_t crop, uint32_t **ids, size_t *count);

#ifdef __cplusplus
}
#endif

#endif
