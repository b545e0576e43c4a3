#include "soak/scene.h"

#include "soak/watchdog.h"

/* So many parts of a round may live; a scene makes up to a hundred. TSan does not know more than some 8000 fibers. */
#define LIVE_MAX SCALED(4000u, 2000u, 800u)

const struct scene scenes[] = {
    {"tree", 6, play_tree},       {"crowd", 3, play_crowd},         {"locals", 1, play_locals},
    {"hog", 2, play_hog},         {"cancel", 6, play_cancel},       {"late", 4, play_late},
    {"storm", 2, play_storm},     {"ticks", 1, play_ticks},         {"channel", 8, play_channel},
    {"letters", 5, play_letters}, {"turnstile", 4, play_turnstile}, {"token", 4, play_token},
    {"mutex", 4, play_mutex},     {"scope", 5, play_scope},         {"sections", 5, play_sections},
    {"jobs", 4, play_jobs},       {"nested", 1, play_nested},       {"flow", 6, play_flow},
    {"serve", 1, play_serve},     {"relay", 4, play_relay},         {"race", 4, play_race},
    {"wakers", 4, play_wakers},
};
const unsigned scene_count = COUNT(scenes);

static struct {
    lido__shared uint64_t played;
    lido__shared uint64_t longest; /* ns */
} tallies[COUNT(scenes)];

static unsigned weight_of(uint64_t chosen)
{
    unsigned weight = 0;
    for (unsigned i = 0; i < scene_count; i++)
        weight += chosen >> i & 1 ? scenes[i].weight : 0;
    return weight;
}

static unsigned draw_scene(struct part *part)
{
    uint64_t chosen = part->host->round->plan->scenes;
    unsigned left = draw(part, weight_of(chosen)), i = 0;
    for (;; i++) {
        unsigned weight = chosen >> i & 1 ? scenes[i].weight : 0;
        if (left < weight)
            return i;
        left -= weight;
    }
}

static void note_length(unsigned scene, uint64_t ns)
{
    uint64_t longest = lido__load(&tallies[scene].longest, LIDO__RELAXED);
    while (ns > longest &&
           !lido__cas(&tallies[scene].longest, &longest, ns, LIDO__RELAXED, LIDO__RELAXED)) {}
}

int act_once(struct part *part)
{
    unsigned scene = draw_scene(part);
    uint64_t began = lido_now();
    scenes[scene].play(part);
    lido__fetch_add(&tallies[scene].played, 1, LIDO__RELAXED);
    note_length(scene, lido_now() - began);
    return (int)scene;
}

int act(struct part *part)
{
    while (!part_is_over(part)) {
        if (lido__load(&part->host->round->live, LIDO__RELAXED) < LIVE_MAX)
            act_once(part);
        else
            attempt(part, lido_sleep(1));
    }
    return 0;
}

void scenes_print(FILE *to)
{
    for (unsigned i = 0; i < scene_count; i++)
        fprintf(to, "  %-10s %9llu, longest %6.1f ms\n", scenes[i].name,
                (unsigned long long)tallies[i].played, (double)tallies[i].longest / 1e6);
}
