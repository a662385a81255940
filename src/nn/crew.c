#include "nn/crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

#define MAX_MEMBERS 64

struct member {
    struct km_crew *crew;
    pthread_t thread;
    uint32_t number;
    struct km_err err; /* of the last task; read by the caller after the member has reported */
};

struct km_crew {
    pthread_mutex_t lock;
    pthread_cond_t started, finished;
    uint64_t round; /* guarded by lock, as the next four */
    uint32_t working;
    bool ends;
    enum km_code (*task)(void *context, uint32_t member, struct km_err *err);
    void *context;
    uint32_t count;
    struct member members[MAX_MEMBERS];
};

static void *work(void *argument)
{
    struct member *member = argument;
    struct km_crew *crew = member->crew;
    uint64_t seen = 0;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->round == seen && !crew->ends)
            pthread_cond_wait(&crew->started, &crew->lock);
        if (crew->ends)
            break;
        seen = crew->round;
        pthread_mutex_unlock(&crew->lock);
        member->err = (struct km_err)KM_ERR_INIT;
        enum km_code code = crew->task(crew->context, member->number, &member->err);
        member->err.code = code;
        pthread_mutex_lock(&crew->lock);
        if (--crew->working == 0)
            pthread_cond_signal(&crew->finished);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

struct km_crew *km_crew_new(uint32_t members, struct km_err *err)
{
    if (members == 0 || members > MAX_MEMBERS) {
        km_fail(err, KM_LIMIT, "%u threads are not in 1..%d", members, MAX_MEMBERS);
        return NULL;
    }
    struct km_crew *crew = km_calloc(1, sizeof *crew, SIZE_MAX, err);
    if (!crew)
        return NULL;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->started, NULL);
    pthread_cond_init(&crew->finished, NULL);
    for (uint32_t i = 0; i < members; i++) {
        crew->members[i] = (struct member){.crew = crew, .number = i};
        int why = pthread_create(&crew->members[i].thread, NULL, work, &crew->members[i]);
        if (why != 0) {
            km_fail_errno(err, why, "cannot start a thread");
            km_crew_free(crew);
            return NULL;
        }
        crew->count++;
    }
    return crew;
}

void km_crew_free(struct km_crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->ends = true;
    pthread_cond_broadcast(&crew->started);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 0; i < crew->count; i++)
        pthread_join(crew->members[i].thread, NULL);
    pthread_cond_destroy(&crew->finished);
    pthread_cond_destroy(&crew->started);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

enum km_code km_crew_run(struct km_crew *crew, enum km_code (*task)(void *context, uint32_t member, struct km_err *err),
                         void *context, struct km_err *err)
{
    pthread_mutex_lock(&crew->lock);
    crew->task = task;
    crew->context = context;
    crew->working = crew->count;
    crew->round++;
    pthread_cond_broadcast(&crew->started);
    while (crew->working > 0)
        pthread_cond_wait(&crew->finished, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->members[i].err.code != KM_OK) {
            *err = crew->members[i].err;
            return err->code;
        }
    return KM_OK;
}
