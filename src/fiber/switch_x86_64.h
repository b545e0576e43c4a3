/*
 * The switch for x86-64, System V ABI. Saves the stack pointer, the frame pointer (which cannot be
 * named as destroyed) and the place to go on. Stores only into the contexts, never below the stack
 * pointer, where the red zone may be in use.
 *
 * Not switched: the x87 and SSE control words. A fiber that changes the rounding mode changes it
 * for its thread.
 */
#ifndef LIDO_FIBER_SWITCH_X86_64_H
#define LIDO_FIBER_SWITCH_X86_64_H

#include <stddef.h>
#include <stdint.h>

struct lido__context {
    void *sp;
    void *pc;
    void *bp;
};

/* `top` is the end of the stack; entry is given the value that the first switch hands over. The zero above entry's frame ends a backtrace by frame pointers. */
static inline void lido__context_init(struct lido__context *context, void *top,
                                      void (*entry)(void *value))
{
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15) - 3;
    sp[0] = 0; /* where a call would have left its return address */
    sp[1] = 0;
    sp[2] = 0;
    context->sp = sp;
    context->bp = NULL;
    context->pc = (void *)entry;
}

/* In entry: nobody has called it, and a debugger need not look for who has. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define LIDO__STACK_BOTTOM() __asm__ volatile(".cfi_undefined rip")
#else
#define LIDO__STACK_BOTTOM() ((void)0)
#endif

#ifdef __AVX512F__
#define LIDO__CLOBBER_AVX512                                                                       \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5",  \
        "k6", "k7"
#else
#define LIDO__CLOBBER_AVX512
#endif

static inline __attribute__((always_inline)) void *lido__switch(struct lido__context *from,
                                                                struct lido__context *to,
                                                                void *value)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%%rdx)\n\t"
                     "movq %%rax, 8(%%rdx)\n\t"
                     "movq %%rbp, 16(%%rdx)\n\t"
                     "movq 0(%%rsi), %%rsp\n\t"
                     "movq 16(%%rsi), %%rbp\n\t"
                     "jmpq *8(%%rsi)\n"
                     "1:\n\t"
                     "endbr64"
                     : "+d"(from), "+S"(to), "+D"(value)
                     :
                     : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm1",
                       "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)",
                       "st(4)", "st(5)", "st(6)", "st(7)", "cc", "memory" LIDO__CLOBBER_AVX512);
    return value;
}

#endif
