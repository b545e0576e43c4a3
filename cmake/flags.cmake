# What everything in the tree is compiled with: the interface library lido_flags. It is linked
# PRIVATE, so none of this reaches a project that uses lido.

add_library(lido_flags INTERFACE)
target_compile_features(lido_flags INTERFACE c_std_11)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)

target_compile_options(lido_flags INTERFACE
    -Wall -Wextra -Wshadow
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>)

# Not by default: a newer compiler than ours has warnings that we have not seen.
if(LIDO_WERROR)
    target_compile_options(lido_flags INTERFACE -Werror)
endif()

if(LIDO_SANITIZE)
    set(sanitize -fsanitize=${LIDO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(lido_flags INTERFACE ${sanitize})
    target_link_options(lido_flags INTERFACE ${sanitize})
endif()
