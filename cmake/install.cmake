# Everything that is installed finds the rest relative to itself, so a prefix can be chosen at
# install time (`cmake --install DIR --prefix PREFIX`) and moved afterwards.

set(lido_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lido)

install(FILES include/lido.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS lido lido_static EXPORT lido-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(LIDO_LOAD)
    install(TARGETS lido_load RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(EXPORT lido-targets NAMESPACE lido:: DESTINATION ${lido_cmake_dir})

configure_package_config_file(cmake/lido-config.cmake.in lido-config.cmake
    INSTALL_DESTINATION ${lido_cmake_dir}
    NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what the one before it promised.
write_basic_package_version_file(lido-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/lido-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/lido-config-version.cmake
    DESTINATION ${lido_cmake_dir})

if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
    set(pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
    set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    file(RELATIVE_PATH up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    string(REGEX REPLACE "/$" "" up ${up})
    set(pc_prefix "\${pcfiledir}/${up}")
    set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(pc_dl_libs)
if(CMAKE_DL_LIBS)
    set(pc_dl_libs -l${CMAKE_DL_LIBS})
endif()
configure_file(lido.pc.in lido.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lido.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
