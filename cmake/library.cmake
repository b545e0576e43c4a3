# liblido, compiled once and packed twice. Position-independent in the archive too, so that it can
# go into somebody's shared object; with hidden visibility that costs nothing measurable.

file(GLOB lido_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*/*.c)

# How the sources of lido are compiled, also where a test compiles them once more.
function(lido_compile target)
    set_target_properties(${target} PROPERTIES
        POSITION_INDEPENDENT_CODE ON
        C_VISIBILITY_PRESET hidden)
    target_include_directories(${target} PRIVATE
        ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    target_compile_options(${target} PRIVATE
        # The current worker is looked up on every operation: a fixed offset, never __tls_get_addr.
        -ftls-model=initial-exec
        # Public functions call each other; without this each such call would go through the PLT and
        # none could be inlined.
        -fno-semantic-interposition
        ${lido_hardening_compile})
    target_link_libraries(${target} PRIVATE lido_flags Threads::Threads ${CMAKE_DL_LIBS})
endfunction()

add_library(lido_objects OBJECT ${lido_sources})
lido_compile(lido_objects)

add_library(lido_static STATIC $<TARGET_OBJECTS:lido_objects>)
set_target_properties(lido_static PROPERTIES OUTPUT_NAME lido)
target_link_libraries(lido_static PUBLIC Threads::Threads ${CMAKE_DL_LIBS})

add_library(lido SHARED $<TARGET_OBJECTS:lido_objects>)
set_target_properties(lido PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_libraries(lido PRIVATE lido_flags Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(lido PRIVATE -Wl,-Bsymbolic-functions ${lido_hardening_link} ${lido_unloading})
target_link_options(lido_static INTERFACE ${lido_unloading})
if(NOT LIDO_SANITIZE)
    # A sanitizer's own symbols are resolved from the executable only.
    target_link_options(lido PRIVATE -Wl,-z,defs)
endif()

foreach(target lido lido_static)
    target_include_directories(${target} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_compile_options(${target} INTERFACE
        $<$<COMPILE_LANG_AND_ID:C,GNU,Clang>:${lido_user_flags}>
        $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:${lido_user_flags}>)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
    add_library(lido::${target} ALIAS ${target})
endforeach()
