/*
 * Which scope a name belongs to, as parts of SQL. In a statement with km_kpi's parameters ?1 and ?2 are the period and
 * ?3 is the scope (0: everything); m is scope_member, s stage.
 */
#ifndef KM_DESK_TRIAGE_STAGE_SQL_H
#define KM_DESK_TRIAGE_STAGE_SQL_H

/* An image's name is matched as it is and without its tag or digest. */
#define KM_SQL_IMAGE_FITS(name)                                                                                        \
    "(" name " GLOB m.pattern OR " name " GLOB m.pattern||':*' OR " name " GLOB m.pattern||'@*')"

#define KM_SQL_INCIDENT_FITS                                                                                           \
    "iif(i.kind='file', m.kind='image' AND (" KM_SQL_IMAGE_FITS(                                                       \
        "i.image") " OR EXISTS(SELECT 1 FROM incident_image g"                                                         \
                   " WHERE g.incident_id=i.id AND " KM_SQL_IMAGE_FITS(                                                 \
                       "g.image") ")), m.kind='daemon' AND i.subject GLOB m.pattern)"

#define KM_SQL_IN_SCOPE(fits) "(?3=0 OR EXISTS(SELECT 1 FROM scope_member m WHERE m.scope_id=?3 AND " fits "))"

#define KM_SQL_INCIDENT_IN_SCOPE     KM_SQL_IN_SCOPE(KM_SQL_INCIDENT_FITS)
#define KM_SQL_DAEMON_IN_SCOPE(name) KM_SQL_IN_SCOPE("m.kind='daemon' AND " name " GLOB m.pattern")
#define KM_SQL_IMAGE_IN_SCOPE(name)  KM_SQL_IN_SCOPE("m.kind='image' AND " KM_SQL_IMAGE_FITS(name))

/* The member that decides comes first. */
#define KM_SQL_MOST_LITERAL                                                                                            \
    "length(replace(replace(replace(replace(m.pattern, '*', ''), '?', ''), '[', ''), ']', '')) DESC, s.stage, s.id"
#define KM_SQL_STAGE_ROWS(fits)                                                                                        \
    "FROM scope_member m JOIN stage s ON s.scope_id=m.scope_id AND s.to_ns IS NULL WHERE " fits                        \
    " ORDER BY " KM_SQL_MOST_LITERAL " LIMIT 1"

/* The stage of a finding f as a number. */
#define KM_SQL_STAGE_OF_FINDING                                                                                        \
    "coalesce((SELECT s.stage " KM_SQL_STAGE_ROWS("iif(f.unit IS NULL, m.kind='image' AND " KM_SQL_IMAGE_FITS(         \
        "f.image") ", m.kind='daemon' AND f.unit GLOB m.pattern)") "), 3)"

#endif
