"""The video classifier, from folders of videos to the class of a new one."""
