/* Scenes: what a part does with others, from beginning to end. It leaves nothing behind, but tasks that end soon. */
#ifndef TESTS_SOAK_SCENE_H
#define TESTS_SOAK_SCENE_H

#include "soak/part.h"

struct scene {
    const char *name;
    unsigned weight;
    void (*play)(struct part *part); /* a fiber */
};

extern const struct scene scenes[];
extern const unsigned scene_count;

/* The body of an actor: scene after scene, until the round is over. */
int act(struct part *part);
/* One scene. */
int act_once(struct part *part);

/* For the totals: how often each was played, and how long it took at most. */
void scenes_print(FILE *to);

void play_tree(struct part *part);
void play_crowd(struct part *part);
void play_locals(struct part *part);
void play_hog(struct part *part);

void play_cancel(struct part *part);
void play_late(struct part *part);
void play_storm(struct part *part);
void play_ticks(struct part *part);

void play_channel(struct part *part);

void play_letters(struct part *part);
void play_turnstile(struct part *part);
void play_token(struct part *part);
void play_mutex(struct part *part);
void play_scope(struct part *part);

void play_sections(struct part *part);
void play_jobs(struct part *part);
void play_nested(struct part *part);

void play_flow(struct part *part);
void play_serve(struct part *part);

void play_relay(struct part *part);
void play_race(struct part *part);
void play_wakers(struct part *part);

#endif
