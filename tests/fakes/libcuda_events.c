/* A stand-in for NVIDIA's libcuda.so.1 (a library we do not own): a device whose one stream tells, between two
   events, a quarter of a millisecond for each piece of work that it was given (tests/fakes/watched.py). */
#include <stddef.h>
#include <stdlib.h>

static int stream_of_ours, events[2], made, done;

static int refusal(const char *name) {
    const char *code = getenv(name);
    return code ? atoi(code) : 0;
}

int cuInit(unsigned flags) { (void)flags; return refusal("FAKE_CUDA_REFUSES"); }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = events; return 0; }
int cuCtxSetCurrent(void *context) { (void)context; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = &stream_of_ours; return 0; }
int cuEventCreate(void **event, unsigned flags) { (void)flags; *event = &events[made++ % 2]; return 0; }
int cuEventRecord(void *event, void *stream) {
    if (stream != &stream_of_ours) return 400; /* CUDA_ERROR_INVALID_HANDLE */
    *(int *)event = done;
    return 0;
}
int cuEventSynchronize(void *event) { (void)event; return 0; }
int cuEventElapsedTime(float *ms, void *begin, void *end) {
    *ms = 0.25f * (float)(*(int *)end - *(int *)begin);
    return 0;
}
int cuGetErrorString(int code, const char **text) { (void)code; *text = "no device"; return 0; }
void work_on(void *stream) { done += stream == &stream_of_ours; }
