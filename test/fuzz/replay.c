/* SPDX-License-Identifier: ISC
 *
 * replay.c FILE...: gives each file to a fuzz target, without a fuzzer. With --random SEED SECONDS
 * it makes inputs of its own, and names each seed before it is tried.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16 };

static uint8_t bytes[MOST];

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(bytes, 1, MOST, f);
    fclose(f);
    uint8_t *exact = malloc(n ? n : 1); /* so that a read past it is seen */
    memcpy(exact, bytes, n);
    alarm(60); /* ends what hangs */
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    free(exact);
    return 0;
}

static void try_random(uint64_t seed)
{
    size_t   n = 1 + seed % 509;
    uint8_t *data = malloc(n);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(seed >> 40);
    }
    alarm(60);
    LLVMFuzzerTestOneInput(data, n);
    alarm(0);
    free(data);
}

static int random_ones(uint64_t seed, long seconds)
{
    time_t   end = time(NULL) + seconds;
    uint64_t first = seed;
    do {
        fprintf(stderr, "\rseed %llu ", (unsigned long long)seed);
        try_random(seed++);
    } while (time(NULL) < end);
    printf("%llu inputs from seed %llu\n", (unsigned long long)(seed - first),
           (unsigned long long)first);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 4 && strcmp(argv[1], "--random") == 0)
        return random_ones(strtoull(argv[2], NULL, 10), atol(argv[3]));
    for (int i = 1; i < argc; i++)
        failed += replay(argv[i]);
    printf("%d passed, %d failed\n", argc - 1 - failed, failed);
    return failed != 0;
}
