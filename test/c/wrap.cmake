# SPDX-License-Identifier: ISC
#
# wrap_calls TARGET: --wrap sends what may fail or is counted through fault.c. All that link fault.c need it.
function(wrap_calls target)
  foreach(_call malloc calloc realloc aligned_alloc strdup free pthread_create pthread_join pthread_detach
      wi_thread_join eventfd pipe2 read write syscall pthread_cond_wait pthread_cond_timedwait open socket
      bind listen accept4 send)
    target_link_options(${target} PRIVATE "LINKER:--wrap=${_call}")
  endforeach()
endfunction()
