package watch

const childEnv = "SCOUT_WATCH_TEST_CHILD"

var children = map[string]func(){}
