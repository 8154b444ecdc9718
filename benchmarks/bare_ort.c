/* The bare thing to hold the C++ runtime against: a session and a loop of runs in C, nothing of the harness.
 *
 *     bare_ort LIBRARY MODEL RUNS WARMUP CORE (SET NAME TYPE SHAPE NPY)...
 *
 * One thread on one core. Entries of ONNX Runtime's API are named by their place in its table, which is append-only
 * (include/onnxruntime/core/session/onnxruntime_c_api.h). Prints the nanoseconds of each run, one a line. A run makes
 * its outputs and frees them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16, MOST_RANK = 8, API = 11 };
typedef struct { const void *const *(*get_api)(uint32_t); const char *(*version)(void); } Base;
typedef struct { const char *names[MOST]; void *values[MOST]; size_t count; } Set;

static const void *const *api;

static void check(void *status) {
    if (!status) return;
    fprintf(stderr, "%s\n", ((const char *(*)(void *))api[2])(status));
    exit(1);
}

#define CALL(place, ...) check(((void *(*)(__VA_ARGS__))api[place])

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void *read_values(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    unsigned char head[10];
    if (!file || fread(head, 1, 10, file) != 10) exit(2);
    fseek(file, 0, SEEK_END);
    const long begin = 10 + head[8] + 256 * head[9], end = ftell(file);
    fseek(file, begin, SEEK_SET);
    void *values = malloc((size_t)(end - begin) + 1);
    *bytes = fread(values, 1, (size_t)(end - begin), file);
    fclose(file);
    return values;
}

static void *make_value(void *memory, int type, char *shape, const char *path) {
    int64_t dims[MOST_RANK];
    size_t rank = 0, bytes = 0;
    for (char *at = strtok(shape, "x"); at && rank < MOST_RANK; at = strtok(NULL, "x")) dims[rank++] = atoll(at);
    void *data = read_values(path, &bytes), *value = NULL;
    CALL(49, void *, void *, size_t, const int64_t *, size_t, int, void **)(memory, data, bytes, dims, rank, type, &value));
    return value;
}

int main(int argc, char **argv) {
    if (argc < 11 || (argc - 6) % 5) return 2;
    const long runs = atol(argv[3]), warmup = atol(argv[4]);
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(atoi(argv[5]), &core);
    sched_setaffinity(0, sizeof core, &core);
    void *library = dlopen(argv[1], RTLD_NOW), *env, *options, *session, *memory, *allocator;
    if (!library) return 2;
    const Base *base = ((const Base *(*)(void))dlsym(library, "OrtGetApiBase"))();
    if (!(api = base->get_api(API))) return 2;
    CALL(3, int, const char *, void **)(2, "bare", &env));
    CALL(10, void **)(&options));
    CALL(24, void *, int)(options, 1));
    CALL(7, void *, const char *, void *, void **)(env, argv[2], options, &session));
    CALL(69, int, int, void **)(1, 0, &memory));
    CALL(78, void **)(&allocator));
    static Set sets[MOST];
    size_t count = 0;
    for (int i = 6; i < argc; i += 5) {
        const size_t number = (size_t)atol(argv[i]);
        if (number >= MOST || sets[number].count >= MOST) return 2;
        Set *set = &sets[number];
        set->names[set->count] = argv[i + 1];
        set->values[set->count++] = make_value(memory, atoi(argv[i + 2]), argv[i + 3], argv[i + 4]);
        count = number + 1;
    }
    size_t outputs = 0;
    const char *names[MOST];
    CALL(31, void *, size_t *)(session, &outputs));
    for (size_t i = 0; i < outputs && i < MOST; ++i)
        CALL(37, void *, size_t, void *, char **)(session, i, allocator, (char **)&names[i]));
    void *(*run)(void *, void *, const char **, void **, size_t, const char **, size_t, void **);
    void (*release)(void *);
    *(const void **)&run = api[9];
    *(const void **)&release = api[96];
    int64_t *samples = malloc(sizeof *samples * (size_t)runs);
    for (long k = -warmup; k < runs; ++k) {
        Set *set = &sets[(size_t)(k + warmup) % count];
        if (k >= 0) set = &sets[(size_t)k % count];
        void *made[MOST] = {0};
        const int64_t began = now_ns();
        void *status = run(session, NULL, set->names, set->values, set->count, names, outputs, made);
        for (size_t i = 0; i < outputs; ++i) release(made[i]);
        const int64_t ended = now_ns();
        check(status);
        if (k >= 0) samples[k] = ended - began;
    }
    for (long k = 0; k < runs; ++k) printf("%lld\n", (long long)samples[k]);
    return 0;
}
