/* A stand-in for NVIDIA's libcupti.so.13 (a library we do not own): it hands out, through the callbacks and
   buffers of the activity API, the heads of records that it is given (tests/fakes/watched.py). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 32, RECORD = 64, MOST = 4096 };

typedef void (*requested)(uint8_t **buffer, size_t *size, size_t *most);
typedef void (*completed)(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid);

static requested give_buffer;
static completed take_buffer;
static uint8_t queue[MOST][HEAD];
static size_t queued;
static int enabled, subscribed;

static int refusal(void) {
    const char *code = getenv("FAKE_CUPTI_REFUSES");
    return code ? atoi(code) : 0;
}

int cuptiGetVersion(uint32_t *version) {
    const char *told = getenv("FAKE_CUPTI_VERSION");
    *version = told ? (uint32_t)atoi(told) : 130001;
    return 0;
}

int cuptiActivityRegisterCallbacks(requested request, completed complete) {
    if (subscribed) return 39;
    give_buffer = request, take_buffer = complete;
    return refusal();
}

int cuptiActivityEnable(unsigned kind) { (void)kind; enabled = 1; return 0; }
int cuptiActivityDisable(unsigned kind) { (void)kind; enabled = 0; return 0; }
void subscribe_another(void) { subscribed = 1; }

int cuptiGetResultString(int code, const char **text) {
    *text = code == 35 ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" : "CUPTI_ERROR_UNKNOWN";
    return 0;
}

void work(const uint8_t *head) {
    if (enabled && queued < MOST) memcpy(queue[queued++], head, HEAD);
}

int cuptiActivityFlushAll(uint32_t flag) {
    uint8_t *buffer = NULL;
    size_t size = 0, most = 0, i;
    (void)flag;
    for (i = 0; i < queued; i++) {
        size_t used = 0;
        give_buffer(&buffer, &size, &most);
        for (; i < queued && used + RECORD <= size && used < 3 * RECORD; i++, used += RECORD) {
            memset(buffer + used, 0xa5, RECORD);
            memcpy(buffer + used, queue[i], HEAD);
        }
        i--;
        take_buffer(NULL, 7, buffer, size, used);
    }
    queued = 0;
    return 0;
}

int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, uint8_t **record) {
    uint8_t *next = *record ? *record + RECORD : buffer;
    if (next + RECORD > buffer + valid) return 12; /* CUPTI_ERROR_MAX_LIMIT_REACHED */
    *record = next;
    return 0;
}

int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *dropped) {
    const char *lost = getenv("FAKE_CUPTI_DROPS");
    (void)context, (void)stream;
    *dropped = lost ? (size_t)atoi(lost) : 0;
    return 0;
}
