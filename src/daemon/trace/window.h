/*
 * The decisions that the kernel and user space must take alike: how calls become keys, when an episode ends, when a
 * thread is escalated. Pure functions on plain integers and no includes, so that a BPF program, the replay of a
 * deployment and the tests compile the same lines.
 *
 * A window is a thread's last six calls, nine bits each, the newest in the low bits: 54 bits, exact. The two bits above
 * hold the number space of the calls, the top eight the role, so that one 64-bit key serves one exact hash for all
 * roles.
 */
#ifndef KM_TRACE_WINDOW_H
#define KM_TRACE_WINDOW_H

#define KM_WINDOW_CALLS      6
#define KM_WINDOW_CALL_BITS  9
#define KM_WINDOW_BITS       (KM_WINDOW_CALLS * KM_WINDOW_CALL_BITS)
#define KM_WINDOW_MASK       ((1ULL << KM_WINDOW_BITS) - 1)
#define KM_CALL_NUMBERS      512 /* folded call numbers are below this */
#define KM_CALL_OTHER        511 /* every number that does not fit */
#define KM_CALL_SET_WORDS    (KM_CALL_NUMBERS / 64)
#define KM_PAIR_SKETCH_WORDS 8
#define KM_WINDOW_MAX_ROLES  256
#define KM_X32_FIRST         512 /* calls of its own that x32 has, and where they are folded to: */
#define KM_X32_COUNT         64
#define KM_X32_FOLDED        340 /* numbers 335..423 are not used by x86-64 */
#define KM_X32_BIT           0x40000000LL

/* Number spaces: the same number means another call in another one. Stored and sent. */
enum km_call_space {
    KM_SPACE_NATIVE = 0, /* of the kernel's own word size */
    KM_SPACE_COMPAT = 1, /* 32-bit calls on a 64-bit kernel (i386) */
    KM_SPACE_X32 = 2,
    KM_SPACE_FOREIGN = 3, /* imported from another system */
};

/* What the kernel keeps of a thread. All counts are of the running episode. */
struct km_thread_state {
    unsigned long long window;                      /* the last six calls, without space and role */
    unsigned long long recent;                      /* newest in bit 0: 1 = that call completed an unknown window */
    unsigned long long set[KM_CALL_SET_WORDS];      /* folded numbers seen */
    unsigned long long pairs[KM_PAIR_SKETCH_WORDS]; /* one hashed bit for each pair of consecutive calls seen */
    unsigned int calls;
    unsigned int misses;   /* unknown windows among them */
    unsigned int streamed; /* calls left of an escalation */
    unsigned char filled;  /* calls in the window, up to six: a window counts when it is full */
    unsigned char space;   /* of the calls in the window */
    unsigned char padding[2];
};

/* When a role's episodes end, and when its threads are streamed. All zero: an episode is the thread's life. */
struct km_episode_rule {
    unsigned long long wait_set[KM_CALL_SET_WORDS]; /* an episode ends before one of these */
    unsigned int max_calls;                         /* and after so many calls; 0 = no limit */
    unsigned int escalate_misses; /* of the last 64 windows: that many misses stream the thread; 0 = never */
    unsigned int escalate_calls;  /* for how many calls */
    unsigned int padding;
};

/* A raw call number (x32 bit included) in nine bits. */
static inline unsigned int km_call_fold(unsigned int space, long long number)
{
    if (space == KM_SPACE_X32) {
        number &= ~KM_X32_BIT;
        if (number >= KM_X32_FIRST && number < KM_X32_FIRST + KM_X32_COUNT)
            return (unsigned int)(number - KM_X32_FIRST + KM_X32_FOLDED);
    }
    return number >= 0 && number < KM_CALL_OTHER ? (unsigned int)number : KM_CALL_OTHER;
}

static inline int km_call_set_has(const unsigned long long *set, unsigned int folded)
{
    return (int)(set[(folded >> 6) & (KM_CALL_SET_WORDS - 1)] >> (folded & 63) & 1);
}

static inline void km_call_set_add(unsigned long long *set, unsigned int folded)
{
    set[(folded >> 6) & (KM_CALL_SET_WORDS - 1)] |= 1ULL << (folded & 63);
}

/* The newest two calls of a window as a bit of the sketch: how many are set tells how varied the episode is. */
static inline void km_pair_sketch_add(unsigned long long *pairs, unsigned long long window)
{
    unsigned int pair = (unsigned int)(window & ((1ULL << (2 * KM_WINDOW_CALL_BITS)) - 1));
    unsigned int bit = (pair * 0x9e3779b1U) >> 23; /* 9 bits: 512 = 64 * KM_PAIR_SKETCH_WORDS */
    pairs[(bit >> 6) & (KM_PAIR_SKETCH_WORDS - 1)] |= 1ULL << (bit & 63);
}

static inline unsigned long long km_window_key(unsigned long long window, unsigned int space, unsigned int role)
{
    return (window & KM_WINDOW_MASK) | (unsigned long long)(space & 3) << KM_WINDOW_BITS |
           (unsigned long long)(role & (KM_WINDOW_MAX_ROLES - 1)) << (KM_WINDOW_BITS + 2);
}

/* Forgets the episode, keeps what crosses its border: the window, the recent bits and a running escalation. */
static inline void km_episode_begin(struct km_thread_state *state)
{
    for (int i = 0; i < KM_CALL_SET_WORDS; i++)
        state->set[i] = 0;
    for (int i = 0; i < KM_PAIR_SKETCH_WORDS; i++)
        state->pairs[i] = 0;
    state->calls = 0;
    state->misses = 0;
}

/* Whether the episode ends before `folded` is counted. */
static inline int km_episode_ends(const struct km_thread_state *state, const struct km_episode_rule *rule,
                                  unsigned int folded)
{
    if (state->calls == 0)
        return 0;
    if (rule->max_calls != 0 && state->calls >= rule->max_calls)
        return 1;
    return km_call_set_has(rule->wait_set, folded);
}

/* Counts a call and shifts it into the window. A change of number space empties the window. Returns whether the window
 * is full, so that its key is to be looked up and the answer given to km_thread_judge. */
static inline int km_thread_push(struct km_thread_state *state, unsigned int space, unsigned int folded)
{
    if (state->space != space) {
        state->space = (unsigned char)space;
        state->filled = 0;
        state->window = 0;
    }
    state->window = (state->window << KM_WINDOW_CALL_BITS | folded) & KM_WINDOW_MASK;
    if (state->filled < KM_WINDOW_CALLS)
        state->filled++;
    if (state->filled > 1)
        km_pair_sketch_add(state->pairs, state->window);
    state->calls++;
    km_call_set_add(state->set, folded);
    return state->filled == KM_WINDOW_CALLS;
}

static inline unsigned int km_bits_count(unsigned long long v)
{
    v = v - ((v >> 1) & 0x5555555555555555ULL);
    v = (v & 0x3333333333333333ULL) + ((v >> 2) & 0x3333333333333333ULL);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (unsigned int)((v * 0x0101010101010101ULL) >> 56);
}

/* Records whether the full window was known. Returns whether the thread just became escalated. */
static inline int km_thread_judge(struct km_thread_state *state, const struct km_episode_rule *rule, int known)
{
    state->recent = state->recent << 1 | (known ? 0 : 1);
    if (known)
        return 0;
    state->misses++;
    if (rule->escalate_misses == 0 || state->streamed != 0 || km_bits_count(state->recent) < rule->escalate_misses)
        return 0;
    state->streamed = rule->escalate_calls;
    return rule->escalate_calls != 0;
}

#endif
