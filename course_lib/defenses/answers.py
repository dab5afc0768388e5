from course_lib.text.classifiers import check_classifier as check_classifier
