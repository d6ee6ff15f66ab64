/* SPDX-License-Identifier: Apache-2.0
 * Using libtessera: encode a file, or list the samples of a corpus.
 *
 *   cc example.c $(pkg-config --cflags --libs tessera) -o example
 *   ./example tokenizer.safetensors picture.png
 *   ./example corpus/ rgb */
#include <stdio.h>
#include <sys/stat.h>
#include <tessera.h>

static int fail(tessera_status st)
{
    fprintf(stderr, "example: %s (%s)\n", tessera_error(), tessera_status_name(st));
    return 1;
}

static void print_ids(const char *name, const uint32_t *ids, size_t count)
{
    printf("%s:", name);
    for (size_t i = 0; i < count; i++)
        printf(" %u", (unsigned)ids[i]);
    putchar('\n');
}

static int encode(const char *tokenizer, const char *file)
{
    tessera_tokenizer *t;
    uint32_t *ids;
    size_t count;
    tessera_status st = tessera_tokenizer_open(tokenizer, NULL, &t);
    if (st != TESSERA_OK)
        return fail(st);
    st = tessera_tokenizer_encode_file(t, file, &ids, &count);
    if (st == TESSERA_OK) {
        print_ids(file, ids, count);
        tessera_free(ids);
    }
    tessera_tokenizer_close(t);
    return st == TESSERA_OK ? 0 : fail(st);
}

static tessera_status print_sample(tessera_corpus *c, const char *modality, uint64_t i)
{
    char *key;
    uint32_t *ids;
    size_t count;
    tessera_status st = tessera_corpus_key(c, i, &key);
    if (st != TESSERA_OK)
        return st;
    st = tessera_corpus_read(c, modality, i, 0, &ids, &count);
    if (st == TESSERA_OK) {
        print_ids(key, ids, count);
        tessera_free(ids);
    }
    tessera_free(key);
    return st;
}

static int list(const char *corpus, const char *modality)
{
    tessera_corpus *c;
    tessera_status st = tessera_corpus_open(corpus, &c);
    if (st != TESSERA_OK)
        return fail(st);
    for (uint64_t i = 0; i < tessera_corpus_samples(c) && st == TESSERA_OK; i++)
        st = print_sample(c, modality, i);
    tessera_corpus_close(c);
    return st == TESSERA_OK ? 0 : fail(st);
}

int main(int argc, char **argv)
{
    struct stat s;
    if (argc != 3) {
        fprintf(stderr, "usage: example TOKENIZER FILE | CORPUS MODALITY   (libtessera %s)\n",
                tessera_version());
        return 2;
    }
    int is_folder = stat(argv[1], &s) == 0 && S_ISDIR(s.st_mode);
    return is_folder ? list(argv[1], argv[2]) : encode(argv[1], argv[2]);
}
