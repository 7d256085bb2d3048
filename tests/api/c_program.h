/* A C99 program over onepass.h, called by the tests. */
#ifndef ONEPASS_TESTS_API_C_PROGRAM_H
#define ONEPASS_TESTS_API_C_PROGRAM_H

#if defined(__cplusplus)
extern "C" {
#endif

/* Uses every function of the API on the model file own_heads. NULL, or the check that failed. */
const char* c_program(const char* path);

#if defined(__cplusplus)
}
#endif

#endif
